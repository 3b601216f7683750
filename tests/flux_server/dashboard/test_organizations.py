from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.entitlements import resolve
from flux_middleware.snapshot import Override
from flux_server.catalog.reading import read_catalog
from flux_server.organizations.organizations import ensure_organization, read_organization
from flux_server.organizations.overrides import list_overrides
from flux_server.organizations.records import read_record
from flux_server.subscriptions.subscriptions import SubscriptionState, save_subscription
from tests.flux_server.dashboard.browsing import Element, Page, Person
from tests.flux_server.dashboard.conftest import ADA
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import NOON, RunningServer

ACME = "/test/organization?id=acme"
OVERRIDE = "/test/organization/override"


def by_ada(server: RunningServer) -> Override:
    """Return the override that Ada made."""
    (made,) = (override for override in overrides(server) if override.author == ADA)
    return made


def overrides(server: RunningServer) -> tuple[Override, ...]:
    return server.read(lambda connection: list_overrides(connection, "test", "acme"))


def row(page: Page, name: str) -> str:
    """Return the text of the first row that begins with `name`."""
    rows = [element.text for element in page.root.all("tr")]
    return next(text for text in rows if text.startswith(name))


def test_each_entitlement_says_why(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open(ACME)

    seats = row(page, "seats")
    assert seats.startswith("seats 13 2025-10-14 12:00 UTC")
    assert "Subscription sub_1 (active), plan pro, version 1 gives 10 , until 2025-11-02 12:00 UTC" in seats
    assert "Override by bob@example.com adds 3 , until 2025-10-14 12:00 UTC : a pilot" in seats
    assert "Default plan, plan free, version 1 gives 1. Does not count: a base plan takes its place" in seats
    assert "Subscription sub_1 (active), plan pro, version 1 grants it" in row(page, "sso Single sign-on")
    assert row(page, "audit-logs").startswith("audit-logs no — Nothing gives it.")


def test_values_are_those_that_applications_get(server: RunningServer, ada: Person) -> None:
    furnish(server)

    async def entitlements(connection: AsyncConnection) -> dict[str, str]:
        catalog = await read_catalog(connection, "test")
        record = await read_record(connection, "test", "acme")
        found = resolve(catalog, record, NOON).by_feature
        return {key: str(each.value).replace("True", "yes") for key, each in found.items()}

    page = ada.open(ACME)
    for key, value in server.read(entitlements).items():
        assert row(page, key).replace(" Single sign-on", "").replace(",", "").startswith(f"{key} {value} ")


def test_usage_of_the_period_is_drawn_by_day(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open(ACME)

    (bars,) = page.root.all("svg", role="img")[1:]
    assert bars.attributes["aria-label"] == "API calls by day, at most 107 in one day"
    days = [bar.text for bar in bars.all("rect") if bar.attributes["class"] == "bar"]
    assert days == ["2025-10-02: 107", "2025-10-04: 105", "2025-10-06: 103", "2025-10-08: 101"]
    assert "416 call from 2025-09-30 12:00 UTC until 2025-10-30 12:00 UTC" in page.text
    assert "416 used" in row(page, "calls-per-month")


def test_an_override_is_made_in_the_name_of_who_is_signed_in(server: RunningServer, ada: Person) -> None:
    furnish(server)
    typed = {
        "feature": "seats",
        "effect": "set",
        "value": "unlimited",
        "until": "2025-12-31T18:00",
        "reason": "VIP",
    }

    page = ada.send(ada.open(ACME), OVERRIDE, **typed)

    assert page.said == "The override of seats is in force."
    made = by_ada(server)
    assert (made.reason, made.value, made.until) == ("VIP", "unlimited", 1_767_204_000)
    assert row(page, "seats").startswith("seats unlimited")


def test_a_denial_needs_no_value(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.send(ada.open(ACME), OVERRIDE, feature="sso", effect="deny", reason="unpaid invoice")

    assert row(page, "sso").startswith("sso Single sign-on no")
    assert by_ada(server).effect == "deny"


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"feature": ""}, "feature", "choose one", id="feature"),
        pytest.param({"effect": "double"}, "effect", "choose one", id="effect"),
        pytest.param({"value": ""}, "value", "give a value", id="value"),
        pytest.param({"value": "lots"}, "value", "give a whole number", id="no-number"),
        pytest.param({"feature": "sso", "value": "5"}, "value", "say yes or no", id="no-truth"),
        pytest.param({"reason": ""}, "reason", "say why", id="reason"),
        pytest.param({"until": "soon"}, "until", "give a date", id="until"),
        pytest.param({"until": "2020-01-01T00:00"}, "0", "not in the future", id="past"),
        pytest.param({"effect": "deny"}, "0", "takes no value", id="denial-with-a-value"),
        pytest.param({"since": "soon"}, "since", "give a date", id="since"),
        pytest.param({"lasts": "a while"}, "lasts", "give a time like 14 days", id="lasts"),
        pytest.param({"lasts": "0"}, "lasts", "over at once", id="lasts-no-time"),
        pytest.param({"lasts": "999999999 weeks"}, "lasts", "at most 36500 days", id="lasts-endless"),
        pytest.param({"lasts": "1 day", "until": "2026-01-01T00:00"}, "lasts", "not both", id="both"),
        pytest.param({"enforcement": "soft"}, "0", "is used up by a metric", id="enforcement"),
    ],
)
def test_a_refused_override_is_shown_as_it_was_typed(
    server: RunningServer, ada: Person, typed: dict[str, str], field: str, complaint: str
) -> None:
    furnish(server)
    typed = {"feature": "seats", "effect": "set", "value": "5", "reason": "pilot"} | typed

    page = ada.send(ada.open(ACME), OVERRIDE, **typed)

    assert page.status == 422
    assert complaint in page.errors[field]
    assert dict(page.fields(OVERRIDE))["value"] == typed["value"]
    assert len(overrides(server)) == 1


def test_a_feature_is_given_for_some_days(server: RunningServer, ada: Person) -> None:
    furnish(server)
    typed = {"feature": "sso", "value": "yes", "lasts": "14 days", "reason": "a trial"}

    page = ada.send(ada.open(ACME), OVERRIDE, **typed)

    assert by_ada(server).until == NOON + 14 * 86_400
    assert "sso set yes — 2025-10-23 12:00 UTC ada@example.com: a trial" in page.text


def test_an_override_that_is_yet_to_come_is_shown_apart(server: RunningServer, ada: Person) -> None:
    furnish(server)
    typed = {
        "since": "2025-11-01T00:00",
        "lasts": "1 day",
        "enforcement": "soft",
        "value": "5",
        "reason": "fair",
    }

    page = ada.send(ada.open(ACME), OVERRIDE, feature="calls-per-month", **typed)

    assert page.said == "The override of calls-per-month will be in force."
    assert (by_ada(server).until, by_ada(server).enforcement) == (1_762_041_600, "soft")
    assert "Yet to come" in [heading.text for heading in page.root.all("h3")]
    assert "set 5 more is billed 2025-11-01 00:00 UTC 2025-11-02 00:00 UTC" in page.text


def test_an_override_that_is_over_is_shown_apart(server: RunningServer, ada: Person) -> None:
    furnish(server)
    server.clock.now = NOON + 6 * 86_400

    page = ada.open(ACME)

    (over,) = [
        details for details in page.root.all("details") if details.text.startswith("1 override is over")
    ]
    assert row(page, "seats add 3").startswith("seats add 3 — 2025-10-14 12:00 UTC bob@example.com")
    assert "seats add 3" in over.text
    assert "No exception is made for it now." in page.text


def test_an_organization_is_renamed(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.send(ada.open(ACME), "/test/organization/name", name="Acme GmbH")

    assert (page.heading, page.said) == ("Acme GmbH", "The name is changed.")
    page = ada.send(page, "/test/organization/name", name=" ")
    assert page.errors == {"name": "give it a name"}


def test_an_override_is_removed(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.send(ada.open(ACME), f"{OVERRIDE}/remove")

    assert page.said == "The override is removed."
    assert overrides(server) == ()
    assert row(page, "seats").startswith("seats 10")


def test_subscriptions_are_shown_with_what_no_plan_sells(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open(ACME)

    assert row(page, "price_pro") == "price_pro pro@1 1 2025-10-30 12:00 UTC"
    assert row(page, "price_of_no_plan") == "price_of_no_plan of no plan 2 2025-10-30 12:00 UTC"
    assert "price_of_no_plan (1 subscription)" in ada.open("/test").text


@pytest.mark.parametrize("status", ["past_due", "unpaid", "canceled", "trialing", "from_the_future"])
def test_every_status_can_be_shown(server: RunningServer, ada: Person, status: str) -> None:
    furnish(server)
    state = SubscriptionState(
        "sub_2", status, "acme", trial_end=NOON + 9, ended_at=NOON - 9, started_at=NOON - 99
    )
    server.write(lambda connection: save_subscription(connection, "test", state, NOON))

    page = ada.open(ACME)

    assert page.status == 200
    assert [f"sub_2 {status}"] == [
        heading.text for heading in page.root.all("h3") if heading.text.startswith("sub_2")
    ]


def test_an_organization_is_made_before_it_subscribes(server: RunningServer, ada: Person) -> None:
    page = ada.open("/test/organization/new")
    page = ada.send(page, "/test/organization/new", id="new/co", name="New Co.")

    assert (page.heading, page.said) == ("New Co.", "The organization is there now.")
    found = server.read(lambda connection: read_organization(connection, "test", "new/co"))
    assert found.name == "New Co."


@pytest.mark.parametrize(
    ("name", "field", "complaint"),
    [
        pytest.param("", "id", "give the id", id="empty"),
        pytest.param("acme", "id", "of this id already", id="there"),
        pytest.param("é" * 128, "0", "1 to 255 bytes", id="long"),
    ],
)
def test_a_refused_organization_is_shown_as_it_was_typed(
    server: RunningServer, ada: Person, name: str, field: str, complaint: str
) -> None:
    furnish(server)

    page = ada.send(ada.open("/test/organization/new"), "/test/organization/new", id=name)

    assert complaint in page.errors[field]
    assert dict(page.fields("/test/organization/new"))["id"] == name


def names(page: Page) -> list[str]:
    return [link.text for link in page.root.all("a") if "organization?id=" in link.attributes["href"]]


def next_page(page: Page) -> list[Element]:
    return page.root.all("a", rel="next")


def test_organizations_are_paged_through_in_order(server: RunningServer, ada: Person) -> None:
    expected = [f"org {number:03} ünï/&" for number in range(120)]

    async def add(connection: AsyncConnection) -> None:
        for name in expected:
            await ensure_organization(connection, "test", name, now=NOON)

    server.write(add)
    page = ada.open("/test/organizations")
    found = names(page)
    while next_page(page):
        page = ada.open(next_page(page)[0].attributes["href"])
        found += names(page)

    assert found == expected
    assert page.root.all("a", href="/test/organizations")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("ACM", ["acme"], id="id"),
        pytest.param(" inc", ["acme"], id="name"),
        pytest.param("%", ["100%"], id="wildcard"),
        pytest.param("sub_1", ["acme"], id="subscription"),
        pytest.param("nobody", [], id="none"),
    ],
)
def test_organizations_are_found_by_part_of_id_or_name(
    server: RunningServer, ada: Person, query: str, found: list[str]
) -> None:
    furnish(server)
    server.write(lambda connection: ensure_organization(connection, "test", "100%", now=NOON))

    page = Page(ada.client.get("/test/organizations", params={"query": query}))

    assert names(page) == found
    assert dict(page.fields("/test/organizations"))["query"] == query
