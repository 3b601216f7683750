from __future__ import annotations

import pytest

from flux_middleware.snapshot import Feature, Grant, Metric
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.reading import (
    Plan,
    PlanPrice,
    list_features,
    list_metrics,
    list_plans,
    read_catalog,
    read_plan,
)
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import NOON, RunningServer


def plan(server: RunningServer, key: str = "pro") -> Plan:
    return server.read(lambda connection: read_plan(connection, "test", key))


def features(server: RunningServer) -> tuple[Feature, ...]:
    return server.read(lambda connection: list_features(connection, "test"))


def define(ada: Person, **typed: str) -> Page:
    return ada.send(ada.open("/test/feature"), "/test/feature", **typed)


def test_features_are_defined_and_listed(server: RunningServer, ada: Person) -> None:
    define(ada, key="sso", kind="boolean", name="Single sign-on")
    page = define(ada, key="seats", kind="limit", merge="sum")

    assert (page.path, page.said) == ("/test/features", "Feature seats is saved.")
    assert "Single sign-on" in page.text
    assert features(server) == (
        Feature("seats", "limit", merge="sum"),
        Feature("sso", "boolean", name="Single sign-on", merge="any"),
    )


def test_a_limit_is_used_up_by_a_metric(server: RunningServer, ada: Person) -> None:
    page = ada.send(ada.open("/test/metric"), "/test/metric", key="calls", name="API calls", unit="call")
    assert page.said == "Metric calls is saved."

    page = define(ada, key="calls-per-day", kind="limit", metric="calls", reset="day")

    assert "Used up by calls , anew every day (UTC)" in page.text
    assert server.read(lambda connection: list_metrics(connection, "test")) == (
        Metric("calls", "API calls", "call"),
    )


def test_a_feature_is_edited_without_its_key(server: RunningServer, ada: Person) -> None:
    furnish(server)
    page = ada.open("/test/feature?key=sso")
    assert dict(page.fields("/test/feature"))["name"] == "Single sign-on"

    ada.send(page, "/test/feature", name="SSO")

    assert features(server)[-1] == Feature("sso", "boolean", name="SSO", merge="any")


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"key": ""}, "key", "give a key", id="empty"),
        pytest.param({"key": "sso"}, "key", "there is a “sso” already", id="there"),
        pytest.param({"key": "S S O"}, "0", "a key is 1 to 64 of a-z", id="malformed"),
        pytest.param({"key": "new", "kind": "text"}, "kind", "choose one of these", id="kind"),
        pytest.param({"key": "new", "name": "x" * 256}, "name", "at most 255 characters", id="name"),
        pytest.param(
            {"key": "new", "kind": "limit", "metric": "nothing"}, "0", "no metric 'nothing'", id="metric"
        ),
    ],
)
def test_a_refused_feature_is_shown_as_it_was_typed(
    server: RunningServer, ada: Person, typed: dict[str, str], field: str, complaint: str
) -> None:
    furnish(server)
    before = features(server)

    page = define(ada, **typed)

    assert page.status == 422
    assert complaint in page.errors[field]
    assert dict(page.fields("/test/feature"))["key"] == typed["key"]
    assert features(server) == before


def test_a_metric_of_a_key_that_is_there_is_refused(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.send(ada.open("/test/metric"), "/test/metric", key="calls", name="Other")

    assert "there is a “calls” already" in page.errors["key"]
    assert server.read(lambda connection: list_metrics(connection, "test"))[0].name == "API calls"


def test_a_plan_is_made_published_and_becomes_the_default(server: RunningServer, ada: Person) -> None:
    furnish(server)
    typed = {
        "key": "team",
        "name": "Team",
        "price": "price_team",
        "value__seats": "1,000",
        "value__sso": "yes",
    }
    page = ada.send(ada.open("/test/plan/edit"), "/test/plan/edit", **typed)
    assert page.said == "Plan team is saved. Publish its draft to put it in force."

    page = ada.send(ada.open("/test/plan/publish?key=team"), "/test/plan/publish")
    assert page.said == "Version 1 of plan team is published."
    page = ada.send(ada.open("/test/plans"), "/test/default-plan", plan="team")

    assert page.said == "Plan team is the default plan."
    assert plan(server, "team").versions[0].grants == (Grant("seats", 1_000), Grant("sso", True))
    assert plan(server, "team").prices == (PlanPrice("price_team"),)
    assert server.read(lambda connection: read_catalog(connection, "test")).default_plan == "team@1"


def test_there_can_be_no_default_plan(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.send(ada.open("/test/plans"), "/test/default-plan", plan="")

    assert page.said == "There is no default plan any more."


def test_opening_a_plan_and_saving_it_changes_nothing(server: RunningServer, ada: Person) -> None:
    furnish(server)
    grants = (
        Grant("calls-per-month", 9, enforcement="soft"),
        Grant("seats", 2, per_unit=True),
        Grant("sso", False),
    )
    prices = PlanPrice("a"), PlanPrice("b", "calls")
    draft = PlanDraft("pro", "Pro", "base", prices, grants, "For teams.")
    server.write(lambda connection: save_plan(connection, "test", draft, NOON))
    before = plan(server)

    ada.send(ada.open("/test/plan/edit?key=pro"), "/test/plan/edit")

    assert plan(server) == before
    assert before.draft == grants


@pytest.mark.parametrize(
    ("existing", "replaced_by"),
    [pytest.param("stay", None, id="stay"), pytest.param("migrate", 2, id="migrate")],
)
def test_publishing_says_what_becomes_of_present_subscribers(
    server: RunningServer, ada: Person, existing: str, replaced_by: int | None
) -> None:
    furnish(server)
    assert "audit-logs — yes changed" in ada.open("/test/plan?key=pro").text

    page = ada.send(ada.open("/test/plan/publish?key=pro"), "/test/plan/publish", existing=existing)

    assert page.said == "Version 2 of plan pro is published."
    assert plan(server).versions[0].replaced_by == replaced_by


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"key": "pro"}, "key", "there is a plan “pro” already", id="there"),
        pytest.param(
            {"key": "new", "value__seats": "many"}, "value:seats", "give a whole number", id="value"
        ),
        pytest.param({"key": "new", "value__seats": "-1"}, "0", "give a number from 0", id="negative"),
        pytest.param({"key": "new", "price": "price_pro"}, "0", "belongs to plan 'pro'", id="price-taken"),
        pytest.param({"key": "N", "name": "Kept"}, "0", "a key is 1 to 64", id="key"),
    ],
)
def test_a_refused_plan_is_shown_as_it_was_typed(
    server: RunningServer, ada: Person, typed: dict[str, str], field: str, complaint: str
) -> None:
    furnish(server)

    page = ada.send(ada.open("/test/plan/edit"), "/test/plan/edit", **typed)

    assert page.status in (409, 422)
    assert complaint in page.errors[field]
    fields = dict(reversed(page.fields("/test/plan/edit")))
    assert typed.items() <= {name.replace(":", "__"): text for name, text in fields.items()}.items()
    assert len(server.read(lambda connection: list_plans(connection, "test"))) == 2


def test_two_prices_of_one_plan_are_each_kept_with_what_they_bill(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open("/test/plan/edit?key=pro")

    prices = [text for name, text in page.fields("/test/plan/edit") if name == "price"]
    bills = [text for name, text in page.fields("/test/plan/edit") if name == "price-metric"]
    assert prices == ["price_calls", "price_pro", "", ""]
    assert bills == ["calls", "", "", ""]


def test_publishing_without_a_draft_is_refused(server: RunningServer, ada: Person) -> None:
    furnish(server)
    page = ada.open("/test/plan/publish?key=pro")
    ada.send(page, "/test/plan/publish")

    again = ada.send(page, "/test/plan/publish")

    assert again.status == 409
    assert len(plan(server).versions) == 2


def send_archive(ada: Person, what: str, key: str, **typed: str) -> Page:
    return ada.send(ada.open(f"/test/{what}?key={key}"), f"/test/{what}/archive", **typed)


@pytest.mark.parametrize(("what", "key"), [("feature", "audit-logs"), ("metric", "calls")])
def test_what_is_archived_is_shown_apart_and_can_be_restored(
    server: RunningServer, ada: Person, what: str, key: str
) -> None:
    furnish(server)

    page = send_archive(ada, what, key)

    assert page.said == f"{what.capitalize()} {key} is archived."
    assert f"{what.capitalize()} {key} since 2025-10-09 12:00 UTC" in page.text
    assert not [row for row in page.root.all("tr") if row.text.startswith(f"{key} ")]
    page = send_archive(ada, what, key)
    assert page.said == f"{what.capitalize()} {key} is restored."
    assert [row for row in page.root.all("tr") if row.text.startswith(f"{key} ")]


def test_a_metric_that_is_archived_is_offered_to_no_new_limit(server: RunningServer, ada: Person) -> None:
    furnish(server)
    send_archive(ada, "metric", "calls")

    page = ada.open("/test/feature")
    assert not page.root.all("option", value="calls")
    page = ada.open("/test/feature?key=calls-per-month")
    assert dict(page.fields("/test/feature"))["metric"] == "calls"


def test_an_archived_feature_is_only_in_forms_of_plans_that_grant_it(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)
    send_archive(ada, "feature", "audit-logs")

    assert "audit-logs" not in ada.open("/test/plan/edit?key=free").text
    page = ada.open("/test/plan/edit?key=pro")
    assert "audit-logs archived: leave it out" in page.text
    page = ada.send(page, "/test/plan/edit", name="Kept")
    assert "feature 'audit-logs' is archived" in page.errors["0"]


def test_a_plan_that_is_archived_is_shown_apart_and_can_be_restored(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)

    page = send_archive(ada, "plan", "pro")

    assert page.said == "Plan pro is archived."
    assert plan(server).archived_at == NOON
    assert not page.root.all("a", href="/test/plan/publish?key=pro")
    assert "Pro since 2025-10-09 12:00 UTC" in ada.open("/test/plans").text
    assert (
        "archived; restore it first" in ada.send(ada.open("/test/plan/edit?key=pro"), "/test/plan/edit").text
    )
    assert send_archive(ada, "plan", "pro").said == "Plan pro is restored."


def test_the_default_plan_says_why_it_cannot_be_archived(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open("/test/plan?key=free")

    assert "To archive it, choose another default plan first." in page.text
    assert not [form for form in page.root.all("form") if "archive" in form.attributes.get("action", "")]


def test_descriptions_are_shown_where_a_plan_is_put_together(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(ada.open("/test/feature?key=seats"), "/test/feature", description="Who can sign in")
    ada.send(ada.open("/test/plan/edit?key=pro"), "/test/plan/edit", description="For teams")

    form = ada.open("/test/plan/edit?key=pro")
    (seats,) = form.root.all("input", name="value:seats")
    (hint,) = form.root.all("span", id=seats.attributes["aria-describedby"])

    assert hint.text == "Who can sign in"
    assert "Who can sign in" in ada.open("/test/features").text
    assert "For teams" in ada.open("/test/plan?key=pro").text
    assert "Pro pro For teams" in ada.open("/test/plans").text


def test_publishing_shows_what_changes_for_how_many(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(ada.open("/test/plan/edit?key=pro"), "/test/plan/edit", value__seats="20", value__sso="")

    page = ada.open("/test/plan/publish?key=pro")

    rows = [row.text for row in page.root.all("tr")]
    assert rows[1:4] == ["audit-logs — yes new", "seats 10 20 changed", "sso yes — gone"]
    assert rows[5:] == ["1 1 version 1"]
    assert "What about present subscribers, 1 organization?" in page.text
    assert "It is the default plan." not in page.text


def test_publishing_the_default_plan_says_whom_it_reaches(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(ada.open("/test/plan/edit?key=free"), "/test/plan/edit", value__seats="2")

    page = ada.open("/test/plan/publish?key=free")

    assert "Every organization without a base plan has version 2 at once" in page.text
    assert "No organization subscribes to it." in page.text


def test_subscribers_that_migrated_are_counted_with_the_version_they_have(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)
    for seats in ("20", "30"):
        ada.send(ada.open("/test/plan/publish?key=pro"), "/test/plan/publish", existing="migrate")
        ada.send(ada.open("/test/plan/edit?key=pro"), "/test/plan/edit", value__seats=seats)

    page = ada.open("/test/plan/publish?key=pro")

    assert [row.text for row in page.root.all("tr")][-1] == "1 1 version 3"
