"""The in-memory client: it is told what organizations have, and answers as a real one does."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import flux
from flux_middleware.catalog import UNLIMITED
from flux_middleware.decisions import DecisionReason
from flux_middleware.errors import ConfigurationError, InvalidOrganizationError, InvalidRecordError
from flux_middleware.snapshot import OrganizationRecord, Override
from flux_middleware.testing import Clock, InMemoryFlux

PLANS = Path(__file__).parents[3] / "examples" / "plans.toml"
NOON = datetime(2025, 10, 9, 12, tzinfo=UTC)


@pytest.fixture
def client() -> InMemoryFlux:
    """A client that sells what the example does."""
    return InMemoryFlux(PLANS, clock=Clock(NOON))


def test_nobody_has_anything_that_no_test_gave() -> None:
    client = InMemoryFlux()

    assert client.billing.check("acme", "sso").reason is DecisionReason.UNKNOWN_FEATURE
    assert client.billing.get_limit("acme", "seats").value == 0


def test_what_is_granted_is_granted_to_that_organization_only() -> None:
    client = InMemoryFlux()

    client.grant("acme", "sso", "audit-logs")

    assert client.billing.is_entitled("acme", "sso")
    assert client.billing.is_entitled("acme", "audit-logs")
    assert not client.billing.is_entitled("globex", "sso")


def test_the_last_word_on_a_feature_holds(client: InMemoryFlux) -> None:
    client.grant("acme", "sso")
    client.deny("acme", "sso")
    denied = client.billing.is_entitled("acme", "sso")
    client.grant("acme", "sso")

    assert (denied, client.billing.is_entitled("acme", "sso")) == (False, True)


@pytest.mark.parametrize("value", [0, 5, UNLIMITED])
def test_a_limit_is_what_it_was_set_to(client: InMemoryFlux, value: float) -> None:
    client.set_limit("acme", "seats", flux.UNLIMITED if value == UNLIMITED else int(value))

    assert client.billing.get_limit("acme", "seats").value == value
    assert client.billing.is_entitled("acme", "seats") is (value > 0)


def test_a_plan_gives_what_the_catalog_says(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro", quantity=4)
    client.subscribe("acme", "seat-pack", quantity=2)

    assert client.billing.is_entitled("acme", "sso")
    assert client.billing.get_limit("acme", "seats").value == 4 + 2 * 10
    assert client.billing.get_limit("globex", "seats").value == 3, "the default plan's"


def test_a_subscription_ends(client: InMemoryFlux) -> None:
    for plan in ("pro", "enterprise"):
        client.subscribe("acme", plan)

    client.unsubscribe("acme", "enterprise")
    with_pro = client.billing.get_limit("acme", "seats").value
    client.unsubscribe("acme")

    assert (with_pro, client.billing.get_limit("acme", "seats").value) == (1, 3)


def test_a_plan_can_be_made_up() -> None:
    client = InMemoryFlux()
    client.define_plan("free", {"seats": 1}, is_default=True)
    client.define_plan("pro", {"sso": True, "seats": 5})

    client.subscribe("acme", "pro")

    assert client.billing.is_entitled("acme", "sso")
    assert [client.billing.get_limit(each, "seats").value for each in ("acme", "globex")] == [5, 1]


def test_a_plan_that_changes_changes_its_subscribers(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro")
    assert client.billing.is_entitled("acme", "sso")

    client.define_plan("pro", {"seats": 2})

    assert not client.billing.is_entitled("acme", "sso")


def test_time_driven_changes_come_when_the_clock_is_turned(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro", status="trialing", trial_end=NOON + timedelta(days=14))
    client.subscribe("globex", "pro", cancel_at=NOON + timedelta(days=1))

    client.clock.shift(timedelta(days=16))
    in_leeway = [client.billing.is_entitled(each, "sso") for each in ("acme", "globex")]
    client.clock.move_to(NOON + timedelta(days=18))

    assert in_leeway == [True, False]
    assert not client.billing.is_entitled("acme", "sso")


def test_the_clock_may_go_back(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro", cancel_at=NOON)
    ended = client.billing.is_entitled("acme", "sso")

    client.clock.shift(-60)

    assert (ended, client.billing.is_entitled("acme", "sso")) == (False, True)


def test_grace_after_a_failed_payment(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro", status="past_due", past_due_since=NOON - timedelta(days=6))
    within = client.billing.is_entitled("acme", "sso")

    client.clock.shift(timedelta(days=2))

    assert (within, client.billing.is_entitled("acme", "sso")) == (True, False)


def test_it_explains_as_a_real_one_does(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro")
    client.deny("acme", "sso")

    explained = str(client.billing.explain("acme", "sso"))

    assert "pro@1" in explained
    assert "a test says so" in explained


def test_usage_is_there_to_assert_on(client: InMemoryFlux) -> None:
    client.billing.record_usage("acme", "api-calls", 2)
    client.billing.record_usage("acme", "api-calls", 3)
    client.billing.record_usage(flux.UsageEvent(org_id="globex", metric="api-calls"))
    client.billing.record_usage("globex", "nothing", 0)

    assert client.usage("acme", "api-calls") == 5
    assert client.usage("initech", "api-calls") == 0
    assert client.recorded == {("acme", "api-calls"): 5, ("globex", "api-calls"): 1}


def test_usage_counts_in_the_period_of_the_clock(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro", period_end=NOON + timedelta(days=30))
    client.billing.record_usage("acme", "api-calls", 2)

    client.clock.shift(timedelta(days=31))
    client.billing.record_usage("acme", "api-calls", 5)

    assert client.billing.get_usage("acme", "api-calls").quantity == 5
    assert client.usage("acme", "api-calls") == 7


def test_mistakes_are_refused_as_by_a_real_one(client: InMemoryFlux) -> None:
    with pytest.raises(flux.InvalidQuantityError):
        client.billing.record_usage("acme", "api-calls", -1)
    with pytest.raises(InvalidOrganizationError):
        client.grant("", "sso")
    with pytest.raises(InvalidRecordError):
        InMemoryFlux().grant("acme", "S S O")


def test_what_the_catalog_does_not_have_is_a_mistake_of_the_test(client: InMemoryFlux) -> None:
    with pytest.raises(ConfigurationError, match=r"no feature 'ss0'; did you mean 'sso'\?"):
        client.grant("acme", "ss0")
    with pytest.raises(ConfigurationError, match="no plan 'por'; did you mean 'pro'"):
        client.subscribe("acme", "por")
    with pytest.raises(ConfigurationError, match="'seats' is a limit, and cannot be True"):
        client.grant("acme", "seats")
    with pytest.raises(ConfigurationError, match="'sso' is a boolean, and cannot be 3"):
        client.set_limit("acme", "sso", 3)
    assert not client.billing.is_entitled("acme", "sso")


def test_a_limit_can_be_denied(client: InMemoryFlux) -> None:
    client.subscribe("acme", "pro", quantity=9)

    client.deny("acme", "seats")

    assert client.billing.get_limit("acme", "seats").value == 0


def test_a_new_limit_can_be_metered() -> None:
    client = InMemoryFlux()

    client.set_limit("acme", "calls-per-month", 10, metric="api-calls")
    client.billing.record_usage("acme", "api-calls", 4)

    assert client.billing.get_limit("acme", "calls-per-month").value == 10
    assert client.billing.get_usage("acme", "api-calls").quantity == 4


def test_anything_else_is_put_as_a_record(client: InMemoryFlux) -> None:
    until = int(client.clock()) + 60
    client.put_organization(
        OrganizationRecord("acme", overrides=(Override("beta", "sso", "set", True, until),))
    )
    before = client.billing.explain("acme", "sso")

    client.clock.move_to(until)

    assert (before.allowed, before.until) == (True, until)
    assert not client.billing.is_entitled("acme", "sso")


def test_a_host_that_never_reached_its_server(client: InMemoryFlux) -> None:
    client.grant("acme", "sso")
    assert client.billing.is_entitled("acme", "sso")

    with client.unavailable():
        assert not client.wait_until_ready(0)
        assert client.billing.check("acme", "sso").reason is DecisionReason.UNAVAILABLE
        assert not client.status().ready

    assert client.billing.is_entitled("acme", "sso")
    assert client.status().ready


def test_it_starts_nothing_and_opens_nothing(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))

    with InMemoryFlux() as client:
        client.grant("acme", "sso")
        client.billing.record_usage("acme", "calls")
        assert client.flush()

    assert set(os.listdir("/proc/self/fd")) == before
    assert client.status().backlog == client.billing.backlog() == 0


def test_a_forked_child_goes_on_by_itself(client: InMemoryFlux) -> None:
    client.grant("acme", "sso")
    client.billing.record_usage("acme", "api-calls", 2)

    child = os.fork()
    if not child:
        client.billing.record_usage("acme", "api-calls", 3)
        right = client.usage("acme", "api-calls") == 5 and client.billing.is_entitled("acme", "sso")
        os._exit(0 if right else 1)

    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert client.usage("acme", "api-calls") == 2


def test_what_the_application_declared_for_when_it_cannot_know() -> None:
    client = InMemoryFlux(fallbacks={"sso": True, "seats": 2}, max_stale=60)
    client.grant("acme", "audit-logs")
    client.deny("acme", "sso")

    with client.unavailable():
        fallen_back = (
            client.billing.is_entitled("acme", "sso"),
            client.billing.get_limit("acme", "seats").value,
        )
    with client.stale(timedelta(minutes=2)):
        stale = client.billing.check("acme", "audit-logs")
        age = client.status().age

    assert fallen_back == (True, 2)
    assert (stale.allowed, stale.reason, age) == (False, DecisionReason.STALE, 120)
    assert client.billing.is_entitled("acme", "audit-logs")
    assert not client.billing.is_entitled("acme", "sso")


def test_a_single_check_may_bound_the_age_of_what_is_known(client: InMemoryFlux) -> None:
    client.grant("acme", "sso")
    client.clock.shift(timedelta(days=365))

    assert client.billing.check("acme", "sso", max_stale=1).allowed
    with client.stale(2):
        assert not client.billing.check("acme", "sso", max_stale=1).allowed
        assert client.billing.is_entitled("acme", "sso")


def test_quantities_are_weighed_against_what_was_recorded() -> None:
    client = InMemoryFlux()
    client.set_limit("acme", "calls-per-month", 10, metric="calls")
    client.billing.record_usage("acme", "calls", 8)

    assert client.billing.check("acme", "calls-per-month", 2).allowed
    assert client.billing.check("acme", "calls-per-month", 3).reason is DecisionReason.LIMIT_REACHED
    assert client.billing.entitlements("acme")["calls-per-month"].value == 10
