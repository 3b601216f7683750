"""What holds for `resolve` in every world; the rules themselves are in tests/conformance."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flux_middleware.entitlements import Entitlements, ReasonKind, resolve
from flux_middleware.snapshot import (
    Catalog,
    Feature,
    FeatureValue,
    Grant,
    OrganizationRecord,
    Override,
    PlanVersion,
    Subscription,
    SubscriptionItem,
)
from tests.flux_middleware.worlds import catalogs, moments, records


def values(entitlements: Entitlements) -> dict[str, FeatureValue]:
    return {key: entitlement.value for key, entitlement in entitlements.by_feature.items()}


def said(entitlements: Entitlements) -> object:
    """Everything that an answer says, reasons included."""
    return entitlements.until, {
        key: (each.value, each.until, each.enforcement, each.period, each.reasons)
        for key, each in entitlements.by_feature.items()
    }


@given(catalogs(), records(), moments)
def test_order_does_not_matter(catalog: Catalog, record: OrganizationRecord, now: int) -> None:
    shuffled = OrganizationRecord(
        record.id,
        subscriptions=tuple(
            msgspec.structs.replace(subscription, items=tuple(reversed(subscription.items)))
            for subscription in reversed(record.subscriptions)
        ),
        overrides=tuple(reversed(record.overrides)),
    )

    assert said(resolve(catalog, shuffled, now)) == said(resolve(catalog, record, now))


@given(catalogs(), records(), moments, st.integers(1, 200))
def test_the_answer_stands_until_the_moment_it_names(
    catalog: Catalog, record: OrganizationRecord, now: int, later: int
) -> None:
    entitlements = resolve(catalog, record, now)
    moment = min(now + later, entitlements.until - 0.001)

    assert entitlements.until > now
    assert values(resolve(catalog, record, moment)) == values(entitlements)


@given(catalogs(), records(), moments)
def test_a_value_of_a_boolean_is_a_boolean_and_of_a_limit_a_number_from_zero(
    catalog: Catalog, record: OrganizationRecord, now: int
) -> None:
    for key, entitlement in resolve(catalog, record, now).by_feature.items():
        if catalog.feature_by_key[key].kind == "boolean":
            assert isinstance(entitlement.value, bool)
        else:
            assert not isinstance(entitlement.value, bool)
            assert entitlement.value >= 0


@given(catalogs(), records(), moments)
def test_every_value_says_why(catalog: Catalog, record: OrganizationRecord, now: int) -> None:
    for entitlement in resolve(catalog, record, now).by_feature.values():
        assert entitlement.reasons
        assert all(reason.until > now for reason in entitlement.reasons)
        assert entitlement.until <= min(reason.until for reason in entitlement.reasons)


def test_a_reason_names_the_subscription_item_price_and_plan_version() -> None:
    catalog = Catalog(
        features=(Feature("seats", "limit"),),
        plan_versions=(PlanVersion("pro@1", "pro", 1, grants=(Grant("seats", 5, per_unit=True),)),),
    )
    item = SubscriptionItem("si_1", "pro@1", quantity=2, price="price_1", period_end=2000)
    record = OrganizationRecord("acme", subscriptions=(Subscription("sub_1", "active", items=(item,)),))

    (reason,) = resolve(catalog, record, now=0).by_feature["seats"].reasons

    assert reason.kind is ReasonKind.SUBSCRIPTION
    assert (reason.subscription, reason.item, reason.price, reason.plan_version) == (
        "sub_1",
        "si_1",
        "price_1",
        "pro@1",
    )
    assert (reason.value, reason.status) == (10, "active")


def test_an_override_names_its_author_and_reason() -> None:
    catalog = Catalog(features=(Feature("sso", "boolean", merge="any"),))
    override = Override("o1", "sso", "deny", author="ada@example.com", reason="abuse")

    entitlement = resolve(catalog, OrganizationRecord("acme", overrides=(override,)), now=0).by_feature["sso"]

    (reason,) = entitlement.reasons
    assert (reason.author, reason.note, reason.effect) == ("ada@example.com", "abuse", "deny")
    assert entitlement.until == math.inf
