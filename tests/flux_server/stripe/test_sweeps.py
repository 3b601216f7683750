from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from flux_server.stripe.drift import Difference, Drift, list_drift
from flux_server.stripe.link import read_link
from flux_server.stripe.nightly import start_nightly_sweeps
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.sweeping import sweep_due
from flux_server.stripe.sweeps import Sweep, claim_sweep, list_sweeps, read_sweep, start_sweep
from flux_server.stripe.tables import stripe_dirty
from flux_server.subscriptions.tables import subscriptions
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.double import subscription

LIST = "/v1/subscriptions"
DAY = 86_400


def put(world: World, *names: str, organization: str = "acme", **fields: Any) -> None:
    """Have Stripe know these subscriptions, by their list and one by one."""
    customer = {"id": "cus_1", "object": "customer", "metadata": {"organization_id": organization}}
    world.stripe.put("/v1/customers/cus_1", customer)
    for name in names:
        world.stripe.put_subscription(name, **fields)
        listed = subscription(name, **fields) | {"customer": customer}
        rest = [each for each in world.stripe.lists[LIST] if each["id"] != name]
        world.stripe.lists[LIST] = [*rest, listed]


async def start(world: World, reason: str = "asked") -> Sweep:
    async with world.database.write() as connection:
        return await start_sweep(connection, "test", reason, world.clock())


async def sweep(world: World) -> Sweep:
    """Sweep, and return what became of it."""
    started = await start(world)
    await world.sync()
    async with world.database.read() as connection:
        return await read_sweep(connection, "test", started.id)


async def sweeps(world: World) -> tuple[Sweep, ...]:
    async with world.database.read() as connection:
        return await list_sweeps(connection, "test")


async def drift(world: World, of: Sweep) -> tuple[Drift, ...]:
    async with world.database.read() as connection:
        return await list_drift(connection, "test", of.id)


async def statuses(world: World) -> dict[str, str]:
    async with world.database.read() as connection:
        found = await connection.execute(select(subscriptions.c.id, subscriptions.c.status))
        return {row.id: row.status for row in found}


async def test_linking_sweeps_and_what_is_there_at_first_is_no_drift(unlinked: World) -> None:
    put(unlinked, *(f"sub_{number}" for number in range(205)))

    await unlinked.link()

    (first,) = await sweeps(unlinked)
    assert (first.reason, first.status, first.seen, first.drifted) == ("linked", "done", 205, 0)
    assert unlinked.stripe.calls[LIST] == 4  # one of them tried the key
    assert unlinked.stripe.calls["/v1/customers/cus_1"] == 0
    assert len(await statuses(unlinked)) == 205


async def test_a_change_without_a_webhook_is_found_told_and_repaired(world: World) -> None:
    put(world, "sub_1", "sub_2")
    await sweep(world)
    put(world, "sub_2", status="past_due")
    world.clock.now += 60

    found = await sweep(world)

    assert (found.status, found.drifted) == ("done", 1)
    difference = Difference("status", "active", "past_due")
    expected = Drift("subscription", "sub_2", "acme", (difference,), NOON, "saved", NOON + 60)
    assert await drift(world, found) == (expected,)
    assert (await statuses(world))["sub_2"] == "past_due"
    assert (await sweep(world)).drifted == 0


async def test_what_was_marked_anyway_is_settled_and_is_no_drift(world: World) -> None:
    put(world, "sub_1")
    await sweep(world)
    put(world, "sub_1", status="canceled")
    await world.mark(("subscription", "sub_1"))
    started = await start(world)

    await sweep_due(world.connector)

    assert await drift(world, started) == ()
    assert (await statuses(world)) == {"sub_1": "canceled"}
    async with world.database.read() as connection:
        assert (await connection.execute(select(stripe_dirty))).all() == []


async def test_a_mark_that_is_renewed_while_its_page_is_read_stays(world: World) -> None:
    put(world, "sub_1")
    await world.mark(("subscription", "sub_1"))
    await start(world)

    with world.stripe.held(LIST) as arrived:
        sweeping = asyncio.create_task(sweep_due(world.connector))
        await asyncio.to_thread(arrived.wait, 20)
        put(world, "sub_1", status="canceled")
        await world.mark(("subscription", "sub_1"))
    await sweeping
    await world.sync()

    assert await statuses(world) == {"sub_1": "canceled"}


async def test_an_older_page_does_not_undo_a_newer_read(world: World) -> None:
    put(world, "sub_1")
    await sweep(world)
    await start(world)

    with world.stripe.held(LIST) as arrived:  # its answer is written before the change, and comes after it
        sweeping = asyncio.create_task(sweep_due(world.connector))
        await asyncio.to_thread(arrived.wait, 20)
        put(world, "sub_1", status="canceled")
        await world.mark(("subscription", "sub_1"))
        await world.sync()
    await sweeping

    assert await statuses(world) == {"sub_1": "canceled"}


async def test_what_no_page_shows_is_read_before_it_is_ended(world: World) -> None:
    put(world, "sub_1", "sub_2")
    await sweep(world)
    world.stripe.lists[LIST] = []
    del world.stripe.objects["/v1/subscriptions/sub_1"]

    found = await sweep(world)

    assert await statuses(world) == {"sub_1": "canceled", "sub_2": "active"}
    assert [(each.object_id, each.repair) for each in await drift(world, found)] == [("sub_1", "ended")]


async def test_a_sweeper_that_died_is_followed_from_the_page_where_it_stopped(world: World) -> None:
    put(world, *(f"sub_{number}" for number in range(250)))
    world.clock.now += 1
    world.stripe.fail(LIST, (200, world.stripe._page(LIST, {"limit": "100"})), (500, {}))
    assert ((found := await sweep(world)).status, found.seen) == ("running", 100)
    async with world.database.write() as connection:
        world.clock.now += 10
        assert await claim_sweep(connection, world.clock())  # and never anything again

    await world.sync()
    assert (await sweeps(world))[0].seen == 100
    world.clock.now += LEASE + 1
    await world.sync()

    found = (await sweeps(world))[0]
    assert (found.status, found.seen, found.error) == ("done", 250, None)


async def test_more_marks_than_can_be_read_one_by_one_are_swept(world: World) -> None:
    names = [f"sub_{number}" for number in range(250)]
    put(world, *names)
    await sweep(world)
    put(world, *names, status="past_due")
    await world.mark(*(("subscription", name) for name in names))

    await world.sync()

    assert set((await statuses(world)).values()) == {"past_due"}
    assert [each.reason for each in await sweeps(world)].count("many-dirty") == 1
    assert sum(world.stripe.calls[f"{LIST}/{name}"] for name in names) == 0


async def test_a_subscription_with_too_many_items_for_a_page_is_read_by_itself(world: World) -> None:
    items = [{"id": f"si_{number}", "price": {"id": "price_pro"}} for number in range(25)]
    world.stripe.lists["/v1/subscription_items"] = items
    put(world, "sub_1", items={"object": "list", "data": items[:10], "has_more": True})

    await sweep(world)

    assert world.stripe.calls[f"{LIST}/sub_1"] == 1
    assert await world.is_entitled("acme")


async def test_a_customer_that_names_another_organization_is_found(world: World) -> None:
    put(world, "sub_1")
    await sweep(world)
    put(world, "sub_1", organization="globex")

    found = await sweep(world)

    assert await world.is_entitled("globex")
    assert not await world.is_entitled("acme")
    assert [(each.object_type, each.organization) for each in await drift(world, found)] == [
        ("customer", "globex")
    ]


async def test_a_revoked_key_pauses_the_link_and_the_sweep_goes_on_with_the_next(world: World) -> None:
    put(world, "sub_1")
    world.stripe.fail(LIST, (401, {"error": {"message": "Invalid API Key provided"}}))
    await sweep(world)
    async with world.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    assert link.status == "paused"
    assert await statuses(world) == {}

    world.clock.now += 10
    await world.link()

    assert {each.status for each in await sweeps(world)} == {"done"}
    assert "resumed" in {each.reason for each in await sweeps(world)}
    assert await statuses(world) == {"sub_1": "active"}


async def test_a_sweep_that_has_not_begun_will_do_for_whoever_asks_next(world: World) -> None:
    assert (await start(world)).id == (await start(world)).id


@pytest.mark.parametrize(("hours", "count"), [(23, 1), (26, 2)], ids=["not-yet", "a-day-later"])
async def test_each_environment_is_swept_once_a_day(world: World, hours: int, count: int) -> None:
    world.clock.now += hours * 3_600

    for _ in range(2):
        await start_nightly_sweeps(world.connector)
        await world.sync()

    assert len(await sweeps(world)) == count


async def test_reports_are_forgotten_after_ninety_days(world: World) -> None:
    put(world, "sub_1")
    await sweep(world)
    put(world, "sub_1", status="past_due")
    old = await sweep(world)
    world.clock.now += 91 * DAY

    await start_nightly_sweeps(world.connector)

    assert [each.reason for each in await sweeps(world)] == ["nightly"]
    assert await drift(world, old) == ()
