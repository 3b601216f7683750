"""What holds for `resolve` in every world; the rules themselves are in tests/conformance."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_middleware.catalog import MAX_NUMBER, UNLIMITED
from flux_middleware.entitlements import Entitlement, Entitlements, explain, resolve
from flux_middleware.snapshot import Catalog, OrganizationRecord, Subscription, encode, wire_value
from tests.flux_middleware.obvious import answer
from tests.flux_middleware.worlds import catalogs, moments, records, subscriptions


def said(entitlement: Entitlement) -> tuple[Any, ...]:
    """Everything that an entitlement says, reasons included."""
    return (
        entitlement.value,
        entitlement.until,
        entitlement.enforcement,
        entitlement.period,
        entitlement.reasons,
    )


def without_order(entitlements: Entitlements) -> object:
    until, features = all_said(entitlements)
    return until, {key: (rest, Counter(reasons)) for key, (*rest, reasons) in features.items()}


def all_said(entitlements: Entitlements) -> tuple[float, dict[str, tuple[Any, ...]]]:
    return entitlements.until, {key: said(each) for key, each in entitlements.by_feature.items()}


@given(catalogs(), records(), moments, st.randoms())
def test_order_does_not_matter(catalog: Catalog, record: OrganizationRecord, now: int, chance: Any) -> None:
    def shuffled(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(chance.sample(values, len(values)))

    reordered = OrganizationRecord(
        record.id,
        subscriptions=shuffled(
            tuple(msgspec.structs.replace(each, items=shuffled(each.items)) for each in record.subscriptions)
        ),
        overrides=shuffled(record.overrides),
    )

    # Where two things have one id, the order of reasons is theirs.
    assert without_order(resolve(catalog, reordered, now)) == without_order(resolve(catalog, record, now))


def between(now: float, until: float, part: float) -> float:
    """Return a moment from `now` on and before `until`, where rounding would reach it too."""
    return min(now + (until - now) * part, math.nextafter(until, now))


@given(catalogs(), records(), moments, st.floats(0, 1, exclude_max=True))
def test_the_answer_stands_until_the_moment_it_names(
    catalog: Catalog, record: OrganizationRecord, now: int, part: float
) -> None:
    entitlements = resolve(catalog, record, now)
    until = min(entitlements.until, now + 200)

    assert entitlements.until > now
    assert all_said(resolve(catalog, record, between(now, until, part))) == all_said(entitlements)


@given(catalogs(), records(), moments, st.floats(0, 1, exclude_max=True))
def test_each_feature_stands_until_the_moment_it_names(
    catalog: Catalog, record: OrganizationRecord, now: int, part: float
) -> None:
    for key, entitlement in resolve(catalog, record, now).by_feature.items():
        until = min(entitlement.until, now + 200)

        assert entitlement.until > now
        assert said(resolve(catalog, record, between(now, until, part)).by_feature[key]) == said(entitlement)


@given(catalogs(), records(), moments)
def test_the_next_change_is_the_first_of_all_features_or_earlier(
    catalog: Catalog, record: OrganizationRecord, now: int
) -> None:
    entitlements = resolve(catalog, record, now)

    assert entitlements.until <= min(
        (each.until for each in entitlements.by_feature.values()), default=math.inf
    )


@given(catalogs(default_plan=False), records(), moments, subscriptions)
def test_a_further_subscription_takes_nothing_away(
    catalog: Catalog, record: OrganizationRecord, now: int, another: Subscription
) -> None:
    more = msgspec.structs.replace(record, subscriptions=(*record.subscriptions, another))
    after = resolve(catalog, more, now).by_feature

    for key, before in resolve(catalog, record, now).by_feature.items():
        if catalog.feature_by_key[key].merge != "min":
            assert after[key].value >= before.value
        assert before.enforcement != "soft" or after[key].enforcement == "soft"


@given(catalogs(), records(), moments)
def test_a_value_of_a_boolean_is_a_boolean_and_of_a_limit_a_whole_number_or_unlimited(
    catalog: Catalog, record: OrganizationRecord, now: int
) -> None:
    for key, entitlement in resolve(catalog, record, now).by_feature.items():
        if catalog.feature_by_key[key].kind == "boolean":
            assert isinstance(entitlement.value, bool)
        elif entitlement.value is not UNLIMITED:
            assert type(entitlement.value) is int
            assert 0 <= entitlement.value <= MAX_NUMBER


@given(catalogs(), records(), moments)
def test_every_value_says_why(catalog: Catalog, record: OrganizationRecord, now: int) -> None:
    for entitlement in resolve(catalog, record, now).by_feature.values():
        assert entitlement.reasons
        assert all(reason.until > now for reason in entitlement.reasons)
        assert entitlement.until <= min(reason.until for reason in entitlement.reasons)


@given(catalogs(), records(), moments)
def test_an_explanation_is_the_answer_with_more_reasons_for_every_feature(
    catalog: Catalog, record: OrganizationRecord, now: int
) -> None:
    resolved, explained = resolve(catalog, record, now), explain(catalog, record, now)

    assert explained.until == resolved.until
    assert explained.by_feature.keys() == catalog.grantable.keys()
    for key, entitlement in explained.by_feature.items():
        plain = resolved.by_feature.get(key)
        in_force = plain.reasons if plain else ()
        assert entitlement.value == (plain.value if plain else 0)
        assert entitlement.reasons[: len(in_force)] == in_force


@settings(max_examples=300, deadline=None)
@given(catalogs(), records(), moments)
def test_a_second_implementation_agrees(catalog: Catalog, record: OrganizationRecord, now: int) -> None:
    entitlements = resolve(catalog, record, now)

    assert answer(json.loads(encode(catalog)), json.loads(encode(record)), now) == {
        "features": {key: compared(each) for key, each in entitlements.by_feature.items()},
        "until": entitlements.until,
    }


def compared(entitlement: Entitlement) -> dict[str, object]:
    found: dict[str, object] = {"value": wire_value(entitlement.value), "until": entitlement.until}
    if entitlement.period is not None:
        found |= {"enforcement": entitlement.enforcement, "period": entitlement.period}
    return found
