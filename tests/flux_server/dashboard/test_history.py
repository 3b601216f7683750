from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import StatusPolicy
from flux_server.catalog.policies import set_policy
from flux_server.dashboard.history_words import ChangedField, events_of
from flux_server.environments.history import Entry
from flux_server.organizations.organizations import ensure_organization
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.conftest import ADA
from tests.flux_server.dashboard.test_organizations import ACME, OVERRIDE, row
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import NOON, RunningServer

DAY = 86_400


def events(page: Page) -> list[str]:
    """Return the text of each event, newest first."""
    (shown,) = page.root.all("ol", **{"class": "events"})
    return [event.text for event in shown.children if not isinstance(event, str)]


def changed(before: str, after: str) -> list[ChangedField]:
    (event,) = events_of([Entry(1, NOON, "flux", "record", "acme", before, after)])
    return event.fields


def test_an_organization_is_shown_as_it_stood_at_a_past_moment(server: RunningServer, ada: Person) -> None:
    furnish(server)
    server.clock.now = NOON + DAY
    ada.send(ada.open(ACME), OVERRIDE, feature="sso", effect="deny", reason="unpaid invoice")
    assert row(ada.open(ACME), "sso").startswith("sso Single sign-on no")

    page = ada.open(f"{ACME}&at=2025-10-09T18:00")

    assert page.heading == "Acme Inc. as of 2025-10-09 18:00 UTC"
    assert "This is the past." in page.text
    assert row(page, "sso").startswith("sso Single sign-on yes")
    assert "Subscription sub_1 (active), plan pro, version 1 grants it" in row(page, "sso")
    assert "Override by bob@example.com adds 3 , until 2025-10-14 12:00 UTC : a pilot" in row(page, "seats")
    assert not [
        form for form in page.root.all("form", method="post") if form.attributes["action"] != "/sign-out"
    ]


def test_what_is_to_come_is_shown_as_such(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open(f"{ACME}&at=2026-01-01")

    assert "It shows what will be if nothing changes until then." in page.text
    assert row(page, "seats").startswith("seats 1 ")


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("-1d", "2025-10-08 12:00 UTC"),
        ("yesterday", "2025-10-08 12:00 UTC"),
        ("2025-10-09 11:59", "2025-10-09 11:59 UTC"),
        ("1760011201", "2025-10-09 12:00 UTC"),
    ],
)
def test_moments_are_taken_as_people_write_them(
    server: RunningServer, ada: Person, at: str, shown: str
) -> None:
    furnish(server)

    page = ada.open(f"{ACME}&at={at}")

    assert page.heading == f"Acme Inc. as of {shown}"
    assert ("Flux did not know the organization yet" in page.text) is (at != "1760011201")


@pytest.mark.parametrize("at", ["soon", "2025-13-01", "9" * 70])
def test_what_is_no_moment_is_said_next_to_the_field(server: RunningServer, ada: Person, at: str) -> None:
    furnish(server)

    page = ada.open(f"{ACME}&at={at}")

    assert page.status == 422
    assert page.errors
    assert dict(page.fields("/test/organization"))["at"] == at


def test_the_history_of_an_organization_leads_to_how_it_stood(server: RunningServer, ada: Person) -> None:
    furnish(server)
    server.clock.now = NOON + DAY
    ada.send(ada.open(ACME), "/test/organization/name", name="Acme GmbH")

    page = ada.open("/test/organization/history?id=acme")

    first, *_ = events(page)
    assert first.startswith(f"2025-10-10 12:00 UTC {ADA} Organization name: Acme Inc. became → Acme GmbH")
    (link, *_) = [link for link in page.root.all("a") if link.text.startswith("As of then")]
    assert ada.open(link.attributes["href"]).heading == "Acme GmbH as of 2025-10-10 12:00 UTC"


def test_overrides_are_in_the_history_with_who_made_them(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(ada.open(ACME), OVERRIDE, feature="sso", effect="deny", lasts="1 day", reason="unpaid invoice")

    first, *_ = events(ada.open("/test/organization/history?id=acme"))

    assert f"{ADA} Subscriptions and overrides" in first
    assert "override of sso, effect: deny" in first
    assert "override of sso, until: 2025-10-10 12:00 UTC" in first
    assert "override of sso, reason: unpaid invoice" in first


def test_the_history_of_the_catalog_names_everything(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(ada.open("/test/feature?key=seats"), "/test/feature", name="Seats")
    server.write(lambda connection: set_policy(connection, "test", StatusPolicy(grace=0), NOON))

    policy, feature, *rest = events(ada.open("/test/history"))

    assert policy == "2025-10-09 12:00 UTC Flux itself Settings policy, grace: 7 days became → 0"
    assert feature == f"2025-10-09 12:00 UTC {ADA} Feature seats name: Seats"
    assert any("Plan pro made" in each for each in rest)
    assert not any("Organization" in each for each in rest)


def test_the_history_can_be_narrowed_down(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open("/test/history?kind=organizations")
    assert all("acme" in each for each in events(page))
    page = ada.open("/test/history?kind=plan&subject=free")
    assert page.heading == "History of free"
    assert all("Plan free" in each for each in events(page))
    assert "Nothing was changed yet." in ada.open("/live/history?kind=plan").text


def test_the_history_is_paged_through(server: RunningServer, ada: Person) -> None:
    async def rename(connection: AsyncConnection) -> None:
        for number in range(120):
            await ensure_organization(connection, "test", "acme", name=f"Name {number}", now=NOON)

    server.write(rename)
    page = ada.open("/test/organization/history?id=acme")
    found = events(page)
    while following := page.root.all("a", rel="next"):
        page = ada.open(following[0].attributes["href"])
        found += events(page)

    assert len(found) == 120
    assert "name: Name 0" in found[-1]
    assert page.root.all("a", href="/test/organization/history?id=acme")


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        pytest.param(
            '{"subscriptions":[{"id":"sub_1","items":[{"id":"si_1","quantity":1}]}]}',
            '{"subscriptions":[{"id":"sub_1","items":[{"id":"si_1","quantity":1200}]}]}',
            ChangedField("subscription sub_1, item si_1, quantity", "1", "1,200"),
            id="quantity",
        ),
        pytest.param(
            '{"grace":90000}', '{"grace":0}', ChangedField("grace", "1 day 1 hour", "0"), id="duration"
        ),
        pytest.param('{"value":false}', '{"value":true}', ChangedField("value", "no", "yes"), id="truth"),
        pytest.param('{"name":"a"}', "{}", ChangedField("name", "a", ""), id="gone"),
    ],
)
def test_changes_are_said_in_words(before: str, after: str, field: ChangedField) -> None:
    assert changed(before, after) == [field]


def test_what_came_with_nothing_in_it_is_not_told() -> None:
    assert changed("{}", '{"name":"","metric":null,"archived":false,"limit":0}') == [
        ChangedField("limit", "", "0")
    ]


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [(None, "{}", "made"), ("{}", "{}", "changed"), ("{}", None, "removed")],
)
def test_what_happened_is_named(before: str | None, after: str | None, action: str) -> None:
    (event,) = events_of([Entry(1, NOON, "ada", "plan", "pro", before, after)])

    assert (event.action, event.actor) == (action, "ada")
