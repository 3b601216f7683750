"""What people read when they wonder why."""

from __future__ import annotations

import pytest

from flux_middleware.entitlements import explain
from flux_middleware.reasons import Reason, ReasonKind, Verdict
from flux_middleware.snapshot import (
    UNLIMITED,
    Catalog,
    Feature,
    FeatureValue,
    Grant,
    OrganizationRecord,
    Override,
    PlanVersion,
    StatusPolicy,
    Subscription,
    SubscriptionItem,
)
from flux_middleware.wording import sentence, until_words, value_words, verdict_sentence

DAY = 86_400
CATALOG = Catalog(
    features=(Feature("seats", "limit"),),
    plan_versions=(
        PlanVersion("free@1", "free", 1, grants=(Grant("seats", 1),)),
        PlanVersion("pro@1", "pro", 1, grants=(Grant("seats", 5),)),
    ),
    default_plan="free@1",
    policy=StatusPolicy(leeway=0),
)


def told(*subscriptions: Subscription, overrides: tuple[Override, ...] = ()) -> list[str]:
    record = OrganizationRecord("acme", subscriptions=subscriptions, overrides=overrides)
    return [sentence(reason) for reason in explain(CATALOG, record, 10 * DAY).by_feature["seats"].reasons]


def bought(status: str, plan_version: str = "pro@1", **moments: int) -> Subscription:
    items = (SubscriptionItem("si_1", plan_version, price="price_1", period_end=20 * DAY),)
    return Subscription("sub_1", status, items, **moments)  # type: ignore[arg-type]  # moments only


@pytest.mark.parametrize(
    ("subscription", "expected"),
    [
        pytest.param(
            bought("active"),
            "subscription sub_1 (active), pro@1: 5, until 1970-01-21 00:00:00 UTC",
            id="counted",
        ),
        pytest.param(
            bought("unpaid"),
            "subscription sub_1 (unpaid), pro@1: not counted, for the subscription is unpaid",
            id="status",
        ),
        pytest.param(
            bought("trialing", trial_end=7 * DAY),
            "subscription sub_1 (trialing), pro@1: not counted, for its trial is over since 1970-01-08 00:00:00 UTC",
            id="trial",
        ),
        pytest.param(
            bought("canceled"),
            "subscription sub_1 (canceled), pro@1: not counted, for the subscription has ended",
            id="ended-nobody-knows-when",
        ),
        pytest.param(
            bought("active", "gone@1"),
            "subscription sub_1 (active), gone@1: not counted, for no plan is sold by its price price_1",
            id="unmapped",
        ),
    ],
)
def test_a_subscription_is_told(subscription: Subscription, expected: str) -> None:
    assert expected in told(subscription)


def test_the_default_plan_is_told() -> None:
    assert told() == ["default plan, free@1: 1"]
    assert told(bought("active"))[1] == "default plan, free@1: not counted, for a base plan takes its place"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        pytest.param(
            Override("o1", "seats", "set", 50, 11 * DAY, "ada", "pilot"),
            "override o1: set 50 by ada (pilot), until 1970-01-12 00:00:00 UTC",
            id="counted",
        ),
        pytest.param(Override("o1", "seats", "deny"), "override o1: deny", id="deny"),
        pytest.param(
            Override("o1", "seats", "set", 50, 9 * DAY),
            "override o1: set 50: not counted, for it has expired since 1970-01-10 00:00:00 UTC",
            id="expired",
        ),
        pytest.param(
            Override("o1", "seats", "set", 50, since=12 * DAY),
            "override o1: set 50: not counted, for it begins 1970-01-13 00:00:00 UTC",
            id="upcoming",
        ),
    ],
)
def test_an_override_is_told(override: Override, expected: str) -> None:
    assert expected in told(overrides=(override,))


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_words(verdict: Verdict) -> None:
    words = sentence(Reason(ReasonKind.SUBSCRIPTION, 5, verdict=verdict, subscription="sub_1"))

    assert ("not counted" in words) is (verdict is not Verdict.COUNTED)
    assert "{" not in words


def test_a_status_that_nobody_knows_is_told() -> None:
    subscription = bought("active", unknown_status="dormant")  # type: ignore[arg-type]

    assert told(subscription)[0].startswith("subscription sub_1 (active, reported as dormant), pro@1: 5")


def test_values_and_ends_are_said_as_people_say_them() -> None:
    assert [value_words(value) for value in (True, False, 0, 7, float("inf"))] == [  # type: ignore[arg-type]
        "yes",
        "no",
        "0",
        "7",
        "unlimited",
    ]
    assert until_words(float("inf")) == ""


@pytest.mark.parametrize(
    ("value", "until", "expected"),
    [
        pytest.param(True, float("inf"), "acme is entitled to it", id="yes"),
        pytest.param(7, DAY, "acme is entitled to it: 7, until 1970-01-02 00:00:00 UTC", id="limit"),
        pytest.param(UNLIMITED, float("inf"), "acme is entitled to it: unlimited", id="unlimited"),
        pytest.param(0, float("inf"), "acme is not entitled to it", id="nothing"),
        pytest.param(False, DAY, "acme is not entitled to it, until 1970-01-02 00:00:00 UTC", id="no"),
    ],
)
def test_a_verdict_is_a_sentence(value: FeatureValue, until: float, expected: str) -> None:
    assert verdict_sentence("acme", "it", value, until) == expected
