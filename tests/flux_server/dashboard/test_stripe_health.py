from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.link import pause_link
from flux_server.stripe.tables import stripe_dirty
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.test_stripe import ada, link, server
from tests.flux_server.dashboard.test_stripe_events import log
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.conftest import KEY, SECRET, running_double, stripe

__all__ = ["ada", "running_double", "server", "stripe"]  # fixtures


def facts(page: Page) -> dict[str, str]:
    names, values = page.root.all("dt"), page.root.all("dd")
    return {name.text: value.text for name, value in zip(names, values, strict=True)}


def test_the_page_says_at_a_glance_what_is_wrong_and_what_to_do(server: RunningServer, ada: Person) -> None:
    link(ada, api_key=KEY)
    server.write(lambda connection: pause_link(connection, "test", "the key was rolled"))

    page = ada.open("/test/stripe/health")

    assert "something is wrong" in page.text
    notes = [note.text for note in page.root.all("div", **{"class": "note bad"})]
    assert any(
        "Stripe is not called: the key was rolled. What to do: make another key" in note for note in notes
    )
    assert any("every webhook is refused" in note for note in notes)


def test_the_page_shows_what_came_and_leads_to_it(server: RunningServer, ada: Person) -> None:
    link(ada, api_key=KEY, webhook_secret=SECRET)
    log(server, "evt_1")
    log(server, "evt_2", deliveries=0)

    page = ada.open("/test/stripe/health")

    assert facts(page)["Last event"] == "customer.subscription.updated , 2025-10-09 12:00 UTC"
    assert facts(page)["Missed"] == "1 in the last day"
    assert page.root.all("a", href="/test/stripe/event?id=evt_1")
    missed = page.root.all("a", href="/test/stripe/events?missed=yes&since=-1d")[0].attributes["href"]
    assert "evt_2" in ada.open(missed).text


def test_what_cannot_be_read_is_listed_with_why(server: RunningServer, ada: Person) -> None:
    async def fail(connection: AsyncConnection) -> None:
        await pause_link(connection, "test", "a test's")  # so that the server's own job leaves it alone
        failed = {"not_before": NOON, "lease_until": 0, "attempts": 3, "last_error": "<b>Stripe</b> is down"}
        row = {"environment": "test", "object_type": "customer", "object_id": "cus_9", "version": 1}
        await connection.execute(insert(stripe_dirty).values(row | failed))

    link(ada, api_key=KEY)
    server.write(fail)

    page = ada.open("/test/stripe/health")

    assert "customer cus_9 3 <b>Stripe</b> is down" in [row.text for row in page.root.all("tr")]


def test_without_a_link_the_page_leads_to_making_one(ada: Person) -> None:
    page = ada.open("/live/stripe/health")

    assert "not linked" in page.text
    assert page.root.all("a", href="/live/stripe")
