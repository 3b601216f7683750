from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import select

from flux_middleware.snapshot import OrganizationRecord
from flux_server.organizations.records import read_record
from flux_server.stripe.dirty import claim_due
from flux_server.stripe.link import read_link
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.sync import sync_due
from flux_server.stripe.tables import stripe_dirty
from flux_server.subscriptions.tables import subscriptions
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.double import subscription

SUBSCRIPTION = "/v1/subscriptions/sub_1"
LICENSED = {"id": "si_seat", "price": {"id": "price_pro"}, "quantity": 3}
METERED = {
    "id": "si_calls",
    "price": {"id": "price_calls", "recurring": {"usage_type": "metered", "meter": "mtr_1"}},
}


async def subscribe(world: World, **fields: Any) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription(**fields)
    await world.mark(("subscription", "sub_1"))
    await world.sync()


async def record_of(world: World, organization: str = "acme") -> OrganizationRecord:
    async with world.database.read() as connection:
        return await read_record(connection, "test", organization)


async def marks(world: World) -> dict[str, int]:
    """Return when each marked object is due."""
    async with world.database.read() as connection:
        found = await connection.execute(select(stripe_dirty.c.object_id, stripe_dirty.c.not_before))
        return {row.object_id: row.not_before for row in found}


async def test_a_subscription_provisions_the_organization_that_its_customer_names(world: World) -> None:
    await subscribe(world)

    assert await world.is_entitled("acme")


async def test_a_canceled_subscription_revokes(world: World) -> None:
    await subscribe(world)

    await subscribe(world, status="canceled")

    assert not await world.is_entitled("acme")


async def test_a_subscription_that_stripe_does_not_know_any_more_is_over(world: World) -> None:
    await subscribe(world)

    del world.stripe.objects[SUBSCRIPTION]
    await world.mark(("subscription", "sub_1"))
    await world.sync()

    assert not await world.is_entitled("acme")


async def test_an_unknown_subscription_that_does_not_exist_is_nothing(world: World) -> None:
    await world.mark(("subscription", "sub_nowhere"))

    await world.sync()

    assert await marks(world) == {}


async def test_a_deleted_customer_loses_everything(world: World) -> None:
    await subscribe(world)

    world.stripe.put("/v1/customers/cus_1", {"id": "cus_1", "object": "customer", "deleted": True})
    world.stripe.put_subscription(status="canceled")
    await world.mark(("customer", "cus_1"))
    await world.sync()

    assert not await world.is_entitled("acme")


async def test_what_is_no_customer_but_an_account_is_not_deleted_for_that(world: World) -> None:
    world.stripe.put_subscription(
        customer=None, customer_account="acct_9", metadata={"organization_id": "acme"}
    )
    for each in (("subscription", "sub_1"), ("customer", "acct_9"), ("subscription", "sub_1")):
        await world.mark(each)
        await world.sync()

    assert await world.is_entitled("acme")


@pytest.mark.parametrize("may_read", [True, False], ids=["invoice-read", "invoice-forbidden"])
async def test_the_grace_begins_when_the_invoice_was_to_be_paid(world: World, may_read: bool) -> None:
    finalized = NOON - 5 * 86_400
    invoice = {"id": "in_1", "object": "invoice", "status": "open", "due_date": None}
    world.stripe.put("/v1/invoices/in_1", invoice | {"status_transitions": {"finalized_at": finalized}})
    if not may_read:
        world.stripe.fail("/v1/invoices/in_1", (403, {"error": {"message": "no"}}))

    await subscribe(world, status="past_due", latest_invoice="in_1")

    since = (await record_of(world)).subscriptions[0].past_due_since
    assert since == (finalized if may_read else NOON)


async def test_an_unknown_status_keeps_what_was_decided_before(world: World) -> None:
    await subscribe(world)

    await subscribe(world, status="meditating", brand_new_field={"x": 1})

    assert await world.is_entitled("acme")


@pytest.mark.parametrize(
    "order", [[LICENSED, METERED], [METERED, LICENSED]], ids=["seat-first", "metered-first"]
)
async def test_the_order_of_items_does_not_matter(world: World, order: list[dict[str, object]]) -> None:
    world.stripe.put_meter()
    await subscribe(world, items={"object": "list", "data": order, "has_more": False})

    assert await world.is_entitled("acme")
    items = {item.id: item for item in (await record_of(world)).subscriptions[0].items}
    assert items["si_seat"].quantity == 3
    assert items["si_calls"].metered


async def test_items_that_do_not_fit_in_the_answer_are_paged(world: World) -> None:
    more = [{"id": f"si_{number}", "price": {"id": "price_pro"}} for number in range(250)]
    world.stripe.lists["/v1/subscription_items"] = more
    await subscribe(world, items={"object": "list", "data": more[:10], "has_more": True})

    assert len((await record_of(world)).subscriptions[0].items) == 250


async def test_a_change_during_the_reading_is_read_as_well(world: World) -> None:
    await subscribe(world)
    await world.mark(("subscription", "sub_1"))

    calls = world.stripe.calls[SUBSCRIPTION]
    with world.stripe.held(SUBSCRIPTION) as arrived:
        reading = asyncio.create_task(sync_due(world.connector))
        await asyncio.to_thread(arrived.wait, 20)
        world.stripe.put_subscription(status="canceled")  # the answer under way was written before
        await world.mark(("subscription", "sub_1"))
    await reading

    assert world.stripe.calls[SUBSCRIPTION] == calls + 2
    assert not await world.is_entitled("acme")


async def test_a_reader_that_lost_its_claim_saves_nothing(world: World) -> None:
    await subscribe(world)
    await world.mark(("subscription", "sub_1"))

    with world.stripe.held(SUBSCRIPTION) as arrived:
        slow = asyncio.create_task(sync_due(world.connector))
        await asyncio.to_thread(arrived.wait, 20)
        world.stripe.put_subscription(status="canceled")
        world.clock.now += LEASE + 1
        await world.sync()  # somebody else takes over, and reads the newer state
    await slow

    assert not await world.is_entitled("acme")


async def test_a_reader_that_died_is_followed_by_another(world: World) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription()
    await world.mark(("subscription", "sub_1"))
    async with world.database.write() as connection:
        assert await claim_due(
            connection, "test", "subscription", world.clock(), 8
        )  # and never anything again

    await world.sync()
    assert not await world.is_entitled("acme")
    world.clock.now += LEASE + 1
    await world.sync()

    assert await world.is_entitled("acme")


async def test_a_failure_is_tried_again_later_and_loses_nothing(world: World) -> None:
    world.stripe.fail(SUBSCRIPTION, *[(500, {"error": {"message": "down"}})] * 3)
    await subscribe(world)
    assert (await marks(world))["sub_1"] == NOON + 2

    for delay in (2, 4, 8):
        world.clock.now += delay
        await world.sync()

    assert world.stripe.calls[SUBSCRIPTION] == 4
    assert await world.is_entitled("acme")


async def test_an_object_that_cannot_be_read_does_not_hold_up_others(world: World) -> None:
    world.stripe.put("/v1/subscriptions/sub_odd", {"id": "sub_odd", "object": "subscription"})
    await world.mark(("subscription", "sub_odd"))

    await subscribe(world)

    assert await world.is_entitled("acme")
    async with world.database.read() as connection:
        odd = select(stripe_dirty.c.last_error).where(stripe_dirty.c.object_id == "sub_odd")
        assert "not of a shape that Flux knows" in (await connection.execute(odd)).scalar_one()


async def test_a_revoked_key_pauses_the_link_and_keeps_the_marks(world: World) -> None:
    world.stripe.fail(SUBSCRIPTION, (401, {"error": {"message": "Invalid API Key provided"}}))
    await subscribe(world)
    async with world.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    assert (link.status, link.paused_reason) == (
        "paused",
        "Stripe refuses the key: Invalid API Key provided",
    )
    world.clock.now += 10
    await world.sync()
    assert world.stripe.calls[SUBSCRIPTION] == 1

    await world.link()

    assert await world.is_entitled("acme")


async def test_a_missing_permission_for_meters_does_not_stop_subscriptions(world: World) -> None:
    world.stripe.put_meter()
    world.stripe.fail(
        "/v1/billing/meters/mtr_1", (403, {"error": {"message": "needs 'rak_billing_meter_read'"}})
    )

    await subscribe(world, items={"object": "list", "data": [LICENSED, METERED], "has_more": False})

    async with world.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    assert link.status == "active"
    assert await world.is_entitled("acme")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"trial_end": NOON + 50, "status": "trialing"}, NOON + 50, id="trial"),
        pytest.param({"cancel_at": NOON + 60}, NOON + 60, id="scheduled-end"),
        pytest.param({}, 1_762_600_000 + 120, id="renewal"),
        pytest.param({"status": "canceled"}, None, id="over"),
    ],
)
async def test_what_changes_with_time_is_read_when_it_does(
    world: World, fields: dict[str, Any], expected: int | None
) -> None:
    await subscribe(world, **fields)

    assert (await marks(world)).get("sub_1") == expected


async def test_a_lost_webhook_of_a_renewal_heals_by_itself(world: World) -> None:
    await subscribe(world)
    world.clock.now = 1_762_600_000 + 120
    later = {"id": "si_sub_1", "price": {"id": "price_pro"}, "current_period_end": 1_765_200_000}
    world.stripe.put_subscription(items={"object": "list", "data": [later]})

    await world.sync()

    assert (await record_of(world)).subscriptions[0].items[0].period_end == 1_765_200_000


async def test_linking_reads_all_subscriptions_those_that_ended_included(unlinked: World) -> None:
    unlinked.stripe.put_customer(metadata={"organization_id": "acme"})
    for number in range(120):
        name = f"sub_{number}"
        unlinked.stripe.put_subscription(name, status="canceled" if number else "active")
        unlinked.stripe.lists["/v1/subscriptions"].append(subscription(name))
    await unlinked.sell()

    await unlinked.link()

    async with unlinked.database.read() as connection:
        stored = (await connection.execute(select(subscriptions.c.id))).scalars().all()
    assert len(stored) == 120
    assert await unlinked.is_entitled("acme")


async def test_random_histories_with_two_readers_end_as_stripe_says(world: World) -> None:
    chance = random.Random(16)
    statuses = ["incomplete", "active", "past_due", "unpaid", "canceled", "trialing", "paused"]
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    final = {}
    for number in range(15):
        name = f"sub_{number}"
        for status in chance.choices(statuses, k=4):
            world.stripe.put_subscription(name, status=status)
            final[name] = status
            await world.mark(*[("subscription", name)] * chance.choice([1, 2]))
            if chance.random() < 0.5:
                await asyncio.gather(sync_due(world.connector), sync_due(world.connector))

    await asyncio.gather(world.sync(), world.sync())

    async with world.database.read() as connection:
        stored = await connection.execute(select(subscriptions.c.id, subscriptions.c.status))
        assert {row.id: row.status for row in stored} == final
