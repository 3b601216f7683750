"""Decisions about a quantity, and all entitlements at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flux_middleware.answering import Billing
from flux_middleware.answers import Entitlement
from flux_middleware.catalog import UNLIMITED, Catalog, Feature, Metric
from flux_middleware.decisions import Decision
from flux_middleware.errors import ConfigurationError, InvalidQuantityError
from flux_middleware.memory_store import MemoryStore
from flux_middleware.snapshot import OrganizationRecord, Override, encode
from tests.flux_middleware.hosts import HOUR, NOON, header
from tests.flux_middleware.test_answering import Clock, Process

CATALOG = Catalog(
    features=(
        Feature("sso", "boolean"),
        Feature("seats", "limit"),
        Feature("calls", "limit", metric="calls"),
        Feature("tokens", "limit", metric="tokens", enforcement="soft"),
        Feature("exports", "limit", metric="exports", reset="day"),
    ),
    metrics=(Metric("calls"), Metric("tokens"), Metric("exports")),
)


def overrides(until: int | None = None, **values: Any) -> tuple[Override, ...]:
    return tuple(Override(f"o-{feature}", feature, "set", value, until) for feature, value in values.items())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def billing(tmp_path: Path, clock: Clock) -> Billing:
    """Of acme, which has five of everything, and of globex, which has everything without a limit."""
    store = MemoryStore()
    five: dict[str, Any] = {"sso": True, "seats": 5, "calls": 5, "tokens": 5, "exports": 5}
    everything: dict[str, Any] = dict.fromkeys(five, "unlimited")
    records = (
        OrganizationRecord("acme", 1, overrides=overrides(**five)),
        OrganizationRecord("globex", 1, overrides=overrides(**everything)),
        OrganizationRecord("trial", 1, overrides=overrides(NOON + HOUR, seats=3)),
    )
    with store.replacement(header(catalog=CATALOG)) as replacement:
        replacement.add([(each.id, encode(each)) for each in records])
        replacement.commit()
    return Process(tmp_path, store, clock).billing


def told(decision: Decision) -> tuple[Any, ...]:
    return decision.allowed, str(decision.reason), decision.limit, decision.used, decision.remaining


@pytest.mark.parametrize(
    ("organization", "feature", "quantity", "used", "answer"),
    [
        pytest.param("acme", "seats", 1, 4, (True, "entitled", 5, 4, 1), id="it-fits"),
        pytest.param("acme", "seats", 2, 4, (False, "limit_reached", 5, 4, 1), id="it-does-not"),
        pytest.param("acme", "seats", None, 4, (True, "entitled", 5, 4, 1), id="one-more"),
        pytest.param("acme", "seats", None, 5, (False, "limit_reached", 5, 5, 0), id="not-one-more"),
        pytest.param("acme", "seats", 0, 5, (True, "entitled", 5, 5, 0), id="what-is-used-fits"),
        pytest.param("acme", "seats", 1, 9, (False, "limit_reached", 5, 9, 0), id="far-beyond"),
        pytest.param(
            "globex", "seats", 10**9, 9, (True, "entitled", UNLIMITED, 9, UNLIMITED), id="unlimited"
        ),
        pytest.param("initech", "seats", 1, 0, (False, "not_entitled", 0, 0, 0), id="not-in-the-plan"),
        pytest.param("acme", "sso", 3, None, (True, "entitled", UNLIMITED, None, UNLIMITED), id="capability"),
        pytest.param("initech", "sso", 3, None, (False, "not_entitled", 0, None, 0), id="no-capability"),
        pytest.param("acme", "fax", 1, 0, (False, "unknown_feature", None, None, None), id="no-such-feature"),
        pytest.param("acme", "tokens", 9, 5, (True, "entitled", 5, 5, 0), id="soft-limit"),
        pytest.param("initech", "tokens", 1, 0, (False, "not_entitled", 0, 0, 0), id="soft-limit-of-nothing"),
        pytest.param("acme", "exports", 1, 5, (False, "limit_reached", 5, 5, 0), id="of-another-period"),
    ],
)
def test_a_quantity_fits_into_what_is_left(
    billing: Billing, organization: str, feature: str, quantity: int | None, used: int | None, answer: Any
) -> None:
    assert told(billing.check(organization, feature, quantity, used=used)) == answer


def test_what_was_counted_here_is_used(billing: Billing) -> None:
    billing.record_usage("acme", "calls", 3)

    assert told(billing.check("acme", "calls", 2)) == (True, "entitled", 5, 3, 2)
    assert told(billing.check("acme", "calls", 3)) == (False, "limit_reached", 5, 3, 2)


def test_who_counts_for_himself_is_believed(billing: Billing) -> None:
    billing.record_usage("acme", "calls", 5)

    assert billing.check("acme", "calls", 1, used=0).allowed


@pytest.mark.parametrize(
    ("feature", "advice"),
    [
        ("seats", "no metric counts .* pass check\\(…, used=…\\)"),
        ("exports", "starts afresh every day, .* used=…"),
    ],
)
@pytest.mark.parametrize("organization", ["acme", "globex", "initech"])
def test_what_nobody_counts_is_asked_for_whoever_it_is(
    billing: Billing, organization: str, feature: str, advice: str
) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        billing.check(organization, feature, 1)


@pytest.mark.parametrize("wrong", [-1, 0.0, "1", True])
def test_what_is_no_quantity_is_refused(billing: Billing, wrong: Any) -> None:
    with pytest.raises(InvalidQuantityError):
        billing.check("acme", "seats", wrong, used=1)
    with pytest.raises(InvalidQuantityError):
        billing.check("acme", "seats", 1, used=wrong)


def test_a_decision_about_no_quantity_has_no_limit(billing: Billing) -> None:
    assert told(billing.check("acme", "seats")) == (True, "entitled", None, None, None)


def test_a_decision_is_as_true_as_it_allows(billing: Billing) -> None:
    assert billing.check("acme", "sso")
    assert not billing.check("initech", "sso")


def test_all_entitlements_are_told_at_once(billing: Billing) -> None:
    found = billing.entitlements("trial")

    assert {key: each.value for key, each in found.items()} == {
        "sso": False,
        "seats": 3,
        "calls": 0,
        "tokens": 0,
        "exports": 0,
    }
    assert found["seats"] == Entitlement("seats", 3, NOON + HOUR)
    assert [found[key].allowed for key in ("sso", "seats")] == [False, True]


def test_all_entitlements_agree_with_each(billing: Billing) -> None:
    for organization in ("acme", "globex", "trial", "initech"):
        for feature, entitlement in billing.entitlements(organization).items():
            assert entitlement.allowed is billing.is_entitled(organization, feature)
            assert entitlement.allowed is billing.check(organization, feature).allowed


def test_all_entitlements_cannot_be_changed(billing: Billing) -> None:
    found: Any = billing.entitlements("acme")

    with pytest.raises(TypeError):
        found["sso"] = True
    with pytest.raises(AttributeError):
        found["seats"].value = 6


def test_all_entitlements_are_of_now(billing: Billing, clock: Clock) -> None:
    before = billing.entitlements("trial")["seats"]

    clock.now = before.until

    assert billing.entitlements("trial")["seats"].value == 0


def test_of_nothing_known_there_are_no_entitlements(tmp_path: Path, clock: Clock) -> None:
    assert Process(tmp_path, MemoryStore(), clock).billing.entitlements("acme") == {}
