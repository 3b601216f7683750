from __future__ import annotations

from functools import partial
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.tables import stripe_dirty, stripe_events
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.test_stripe import ada, link, server
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.conftest import KEY, running_double, stripe
from tests.flux_server.stripe.double import StripeDouble
from tests.flux_server.stripe.logged import log_event

__all__ = ["ada", "running_double", "server", "stripe"]  # fixtures


def log(server: RunningServer, *names: str, **fields: Any) -> None:
    for place, name in enumerate(names):
        server.write(partial(log_event, name=name, at=NOON - place, **fields))


def listed(page: Page) -> list[str]:
    """Return the ids of the events on the page."""
    return [row.all("code")[0].text for row in page.root.all("tr") if row.all("td")]


def test_events_are_searched_and_lead_to_their_pages(server: RunningServer, ada: Person) -> None:
    log(server, "evt_1", "evt_2")
    log(server, "evt_3", object_id="sub_3", customer="cus_3", deliveries=0)

    assert set(listed(ada.open("/test/stripe/events"))) == {"evt_1", "evt_2", "evt_3"}
    page = ada.open("/test/stripe/events?about=cus_3&since=-2h&missed=yes")

    assert listed(page) == ["evt_3"]
    assert "missed" in page.text
    (row,) = [row for row in page.root.all("tr") if row.all("td")]
    shown = ada.open(row.all("a")[0].attributes["href"])
    assert shown.heading == "customer.subscription.updated"
    assert "Its webhook never came." in shown.text


def test_all_events_are_reached_by_the_pages_of_a_search(server: RunningServer, ada: Person) -> None:
    log(server, *(f"evt_{number:03}" for number in range(120)))
    log(server, "evt_other", type="customer.created")

    page = ada.open("/test/stripe/events?type=customer.subscription.updated")
    found = listed(page)
    while following := page.root.all("a", rel="next"):
        page = ada.open(following[0].attributes["href"])
        found += listed(page)

    assert found == [f"evt_{number:03}" for number in range(120)]


@pytest.mark.parametrize("about", ["evt_9", "'; --", "%", "\0"])
def test_what_nothing_fits_finds_nothing(server: RunningServer, ada: Person, about: str) -> None:
    page = ada.client.get("/test/stripe/events", params={"about": about})

    assert page.status_code == 200
    assert "No event fits this search." in page.text or about == "\0"


def test_a_moment_that_is_none_is_said_at_its_field(ada: Person) -> None:
    page = ada.open("/test/stripe/events?since=soon&about=sub_1")

    assert page.status == 422
    assert "'soon' is no moment" in page.errors["since"]
    assert page.root.all("input", id="about")[0].attributes["value"] == "sub_1"


def test_a_body_is_shown_whole_and_does_nothing(server: RunningServer, ada: Person) -> None:
    log(server, "evt_1", body=b'{"id": "evt_1", "note": "</pre><script>alert(1)</script>", "caf\\u00e9": 1}')

    page = ada.open("/test/stripe/event?id=evt_1")

    assert "<script>alert" not in page.answer.text
    assert "</pre><script>alert(1)</script>" in unescape(page.answer.text)
    assert '"café": 1' in unescape(page.answer.text)


def test_an_event_leads_to_its_organization(server: RunningServer, ada: Person) -> None:
    log(server, "evt_1")
    ada.send(ada.open("/test/organization/new"), "/test/organization/new", id="acme")
    ada.send(ada.open("/test/organization?id=acme"), "/test/organization/customer", customer="cus_1")

    page = ada.open("/test/stripe/event?id=evt_1")

    assert page.root.all("a", href="/test/organization?id=acme")


def test_a_replay_reads_again_what_the_event_is_about(
    server: RunningServer, stripe: StripeDouble, ada: Person
) -> None:
    link(ada, api_key=KEY)
    stripe.put_customer()
    stripe.put_subscription()
    log(server, "evt_1")

    with stripe.held("/v1/subscriptions/sub_1") as asked:
        page = ada.send(ada.open("/test/stripe/event?id=evt_1"), "/test/stripe/event/replay")
        assert asked.wait(15)

    assert page.said == "Being read from Stripe again: subscription sub_1."


def test_a_replay_needs_a_link(server: RunningServer, ada: Person) -> None:
    log(server, "evt_1")

    page = ada.send(ada.open("/test/stripe/event?id=evt_1"), "/test/stripe/event/replay")

    assert page.status == 404
    assert "is not linked to Stripe" in page.errors["0"]


def test_a_replay_that_another_site_sends_does_nothing(server: RunningServer, ada: Person) -> None:
    log(server, "evt_1")

    answer = ada.client.post("/test/stripe/event/replay?id=evt_1", data={"csrf": "guessed"})

    assert answer.status_code == 403
    assert server.read(_marks) == []


async def _marks(connection: AsyncConnection) -> list[str]:
    return list((await connection.execute(select(stripe_dirty.c.object_id))).scalars())


def test_an_event_that_is_not_there_is_said_so_also_to_those_who_are_not_signed_in(
    server: RunningServer, ada: Person
) -> None:
    assert "there is no event 'evt_1' here" in ada.open("/test/stripe/event?id=evt_1").text.lower()

    log(server, "evt_1")
    ada.client.cookies.clear()

    assert ada.open("/test/stripe/event?id=evt_1").heading == "Sign in"
    assert server.read(_logged) == ["evt_1"]


async def _logged(connection: AsyncConnection) -> list[str]:
    return list((await connection.execute(select(stripe_events.c.id))).scalars())
