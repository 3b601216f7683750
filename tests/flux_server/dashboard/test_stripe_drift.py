from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.dashboard.sweep_words import said
from flux_server.stripe.sweep_log import Difference
from flux_server.stripe.tables import stripe_drift, stripe_sweeps
from tests.flux_server.dashboard.browsing import Page, Person
from tests.flux_server.dashboard.test_stripe import ada, link, server
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.conftest import KEY, running_double, stripe

__all__ = ["ada", "running_double", "server", "stripe"]  # fixtures


def swept(server: RunningServer, name: str, **fields: Any) -> None:
    """Put a sweep into `test` that ended well."""
    plain = {"reason": "nightly", "started_at": NOON, "finished_at": NOON + 60, "seen": 3, "drifted": 0}

    async def put(connection: AsyncConnection) -> None:
        row = {"environment": "test", "id": name} | plain | fields
        await connection.execute(insert(stripe_sweeps).values(row))

    server.write(put)


def drifted(server: RunningServer, sweep: str, *names: str) -> None:
    async def put(connection: AsyncConnection) -> None:
        for name in names:
            place = {"environment": "test", "sweep": sweep, "object_type": "subscription", "object_id": name}
            found = {"differences": json.dumps([["status", "active", "canceled"]]), "found_at": NOON}
            await connection.execute(insert(stripe_drift).values(**place, **found, repair="ended"))

    server.write(put)


def rows(page: Page) -> list[str]:
    return [row.text for row in page.root.all("tr") if row.all("td")]


def test_sweeps_are_listed_with_how_they_are(server: RunningServer, ada: Person) -> None:
    swept(server, "a", started_at=NOON - 9, drifted=2)
    swept(server, "b", started_at=NOON - 5, finished_at=None, reason="asked", seen=700)
    swept(server, "c", started_at=NOON, error="no such thing")

    failed, running, done = rows(ada.open("/test/stripe/drift"))

    assert "failed 3 0" in failed
    assert "Somebody asked for it. under way 700 0" in running
    assert "As every night. done 3 2" in done


def test_a_sweep_tells_what_differed_and_leads_to_whose_it_is(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = ada.open(ada.open("/test/stripe/drift").root.all("th")[-1].all("a")[0].attributes["href"])

    assert "Saved as Stripe says. Found 2025-10-08 12:00 UTC" in page.text
    assert rows(page) == [
        "status active past_due",
        "cancel at — 2025-10-09 12:00 UTC",
        "si_1.quantity 1 1,200",
    ]
    assert page.root.all("a", href="/test/organization?id=acme")
    assert page.root.all("a", href="/test/stripe/events?about=sub_1")


def test_long_lists_come_in_pages(server: RunningServer, ada: Person) -> None:
    for number in range(60):
        swept(server, f"s{number:02}", started_at=NOON + number // 7)
    names = [f"sub_{number:02}" for number in range(60)]
    drifted(server, "s00", *names)

    page = ada.open("/test/stripe/drift")
    second = ada.open(page.root.all("a", rel="next")[0].attributes["href"])
    assert (
        len(rows(page) + rows(second)) == len({*rows(page), *rows(second)} | set()) or len(rows(second)) == 10
    )

    page = ada.open("/test/stripe/sweep?id=s00")
    second = ada.open(page.root.all("a", rel="next")[0].attributes["href"])
    assert [h.all("code")[0].text for h in page.root.all("h3") + second.root.all("h3")] == names


def test_all_are_compared_when_asked_for(ada: Person) -> None:
    link(ada, api_key=KEY)

    page = ada.send(ada.open("/test/stripe/drift"), "/test/stripe/sync")

    assert page.said == "All subscriptions are being read again."
    assert page.heading == "Drift"


def test_nothing_is_there_before_the_first(ada: Person) -> None:
    assert "nothing to compare" in ada.open("/test/stripe/drift").text
    assert ada.open("/test/stripe/sweep?id=nothing").status == 404


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        pytest.param(Difference("status", "active", None), ("status", "active", ""), id="gone"),
        pytest.param(Difference("si_1.metered", False, True), ("si_1.metered", "no", "yes"), id="truth"),
        pytest.param(Difference("si_1.quantity", 1, 1_200), ("si_1.quantity", "1", "1,200"), id="number"),
    ],
)
def test_a_difference_is_said_in_words(difference: Difference, words: tuple[str, str, str]) -> None:
    assert said(difference) == words
