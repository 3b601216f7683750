from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from flux_server.stripe.link import read_link
from flux_server.stripe.missed_events import EVENTS_EVERY, MissedEvents
from flux_server.stripe.tables import stripe_events, stripe_links
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World

LIST = "/v1/events"


def happened(world: World, *names: str) -> None:
    """Have these subscriptions' changes stand in Stripe's list of events."""
    for name in names:
        about = {"id": name, "object": "subscription"}
        event: dict[str, Any] = {"id": f"evt_{name}", "object": "event", "created": NOON, "livemode": False}
        event |= {"type": "customer.subscription.updated", "data": {"object": about}}
        world.stripe.lists.setdefault(LIST, []).insert(0, event)
        world.stripe.put_customer(metadata={"organization_id": "acme"})
        world.stripe.put_subscription(name)


async def stored(world: World) -> dict[str, int]:
    async with world.database.read() as connection:
        found = await connection.execute(select(stripe_events.c.id, stripe_events.c.deliveries))
        return {row.id: row.deliveries for row in found}


async def test_an_event_whose_webhook_never_came_is_stored_and_read(world: World) -> None:
    happened(world, "sub_1")

    await MissedEvents(world.connector).run()
    await world.sync()

    assert await stored(world) == {"evt_sub_1": 0}
    assert await world.is_entitled("acme")


async def test_all_pages_of_the_list_are_looked_through(world: World) -> None:
    happened(world, *(f"sub_{number}" for number in range(120)))

    await MissedEvents(world.connector).run()

    assert len(await stored(world)) == 120


async def test_the_list_is_looked_through_at_once_and_then_every_quarter_of_an_hour(world: World) -> None:
    missed = MissedEvents(world.connector)
    happened(world)
    world.stripe.lists[LIST] = []

    calls = []
    for later in (0, EVENTS_EVERY - 1, 1):
        world.clock.now += later
        await missed.run()
        calls.append(world.stripe.calls[LIST])

    assert calls[0] == calls[1] < calls[2]
    async with world.database.read() as connection:
        until = (await connection.execute(select(stripe_links.c.events_until))).scalar_one()
    assert until == world.clock()


@pytest.mark.parametrize(("status", "paused"), [(401, True), (403, False)], ids=["revoked", "not-permitted"])
async def test_only_a_revoked_key_pauses_the_link(world: World, status: int, paused: bool) -> None:
    world.stripe.fail(LIST, (status, {"error": {"message": "no"}}))

    await MissedEvents(world.connector).run()

    async with world.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    assert (link.paused_reason is not None) is paused
