from __future__ import annotations

import pytest

from flux_middleware.entitlements import resolve
from flux_middleware.snapshot import (
    Catalog,
    Feature,
    Grant,
    OrganizationRecord,
    PlanVersion,
    StatusPolicy,
    Subscription,
    SubscriptionItem,
)
from flux_server.catalog.policies import CHANGEABLE_STATUSES
from flux_server.catalog.reading import read_catalog
from flux_server.dashboard.policy_forms import DEFAULTS, policy_form, read_policy, sentences
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import NOON, RunningServer

DAY = 86_400


def catalog(server: RunningServer) -> Catalog:
    return server.read(lambda connection: read_catalog(connection, "test"))


def told(page: Page, status: str) -> str:
    """Return what the page says that a subscription of this status gives."""
    rows = [row for row in page.root.all("tr") if row.text.startswith(f"{status} ")]
    return rows[0].all("td")[-1].text


@pytest.mark.parametrize("status", CHANGEABLE_STATUSES)
def test_the_defaults_that_are_shown_are_those_of_the_rules(status: str) -> None:
    item = SubscriptionItem("si", plan_version="pro@1", period_end=NOON + DAY)
    subscription = Subscription(
        "sub", status, (item,), trial_end=NOON + DAY, past_due_since=NOON - DAY, started_at=NOON - DAY
    )
    record = OrganizationRecord("acme", subscriptions=(subscription,))
    version = PlanVersion("pro@1", "pro", 1, "base", (Grant("sso", True),))

    answers = [
        resolve(Catalog((Feature("sso", "boolean"),), (), (version,), policy=policy), record, NOON).by_feature
        for policy in (StatusPolicy(), StatusPolicy(statuses={status: DEFAULTS[status]}))
    ]

    assert answers[0] == answers[1]
    assert ("sso" in answers[0]) is (DEFAULTS[status] != "revoke")


@pytest.mark.parametrize(
    "policy",
    [
        StatusPolicy(),
        StatusPolicy(0, 0, {"trialing": "revoke", "unpaid": "grace"}, "until_period_end"),
        StatusPolicy(129_600, 61, {"paused": "grant", "past_due": "grant"}),
    ],
)
def test_a_policy_that_is_opened_and_saved_is_the_same(policy: StatusPolicy) -> None:
    form = policy_form(policy)

    assert read_policy(form) == policy
    assert form.ok


def test_each_status_is_explained(server: RunningServer, ada: Person) -> None:
    page = ada.open("/test/policy")

    assert told(page, "trialing") == "Grants until its trial ends, and 3 days more."
    assert told(page, "past_due") == "Grants for 7 days after the payment first failed."
    assert told(page, "canceled") == "Grants until it ends, then nothing."
    assert len(page.root.all("tr")) == 9


def test_the_policy_is_changed_and_said_in_words(server: RunningServer, ada: Person) -> None:
    typed = {
        "leeway": "12 hours",
        "grace": "0",
        "status__unpaid": "grace",
        "pause_collection": "until_period_end",
    }

    page = ada.send(ada.open("/test/policy"), "/test/policy", **typed)

    assert page.said == "The status policy is saved, and in force."
    assert catalog(server).policy == StatusPolicy(43_200, 0, {"unpaid": "grace"}, "until_period_end")
    assert told(page, "active") == "Grants until its period ends, and 12 hours more."
    assert told(page, "unpaid") == "Grants for no time after the payment first failed."


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"leeway": "soon"}, "leeway", "give a time like 14 days", id="no-duration"),
        pytest.param({"leeway": ""}, "leeway", "say how long", id="empty"),
        pytest.param({"leeway": "91 days"}, "leeway", "at most 90 days", id="long"),
        pytest.param({"status__paused": "maybe"}, "status:paused", "choose one of these", id="effect"),
        pytest.param({"pause_collection": "x"}, "pause_collection", "choose one of these", id="pause"),
    ],
)
def test_a_refused_policy_is_shown_as_it_was_typed(
    server: RunningServer, ada: Person, typed: dict[str, str], field: str, complaint: str
) -> None:
    page = ada.send(ada.open("/test/policy"), "/test/policy", grace="5 days", **typed)

    assert page.status == 422
    assert complaint in page.errors[field]
    assert dict(page.fields("/test/policy"))["grace"] == "5 days"
    assert catalog(server).policy == StatusPolicy()


def test_a_plan_has_a_policy_of_its_own_until_it_is_taken_back(server: RunningServer, ada: Person) -> None:
    furnish(server)
    path = "/test/plan/policy?key=pro"

    page = ada.send(ada.open(path), "/test/plan/policy", own="yes", status__past_due="grant")

    assert "past_due grants until its period ends, and 3 days more" in page.text
    assert catalog(server).plan_policies == {"pro": StatusPolicy(statuses={"past_due": "grant"})}
    page = ada.send(ada.open(path), "/test/plan/policy", own="no", leeway="nonsense")
    assert page.said == "Plan pro has the status policy of the environment."
    assert catalog(server).plan_policies == {}


def test_plans_with_a_policy_of_their_own_are_named_with_the_environments(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)
    ada.send(ada.open("/test/plan/policy?key=pro"), "/test/plan/policy", own="yes")

    page = ada.open("/test/policy")

    assert "Plans with a policy of their own: Pro ." in page.text


def test_every_status_has_a_sentence_for_every_effect() -> None:
    for effect in ("grant", "grace", "revoke"):
        found = sentences(StatusPolicy(statuses=dict.fromkeys(CHANGEABLE_STATUSES, effect)))
        assert all(each.gives.startswith("grants ") for each in found)
        assert sum(each.gives == "grants nothing" for each in found) == (6 if effect == "revoke" else 1)
