from __future__ import annotations

from flux_server.organizations.organizations import ensure_organization
from flux_server.stripe.customers import map_customer
from flux_server.stripe.dirty import claim_due, put_back
from flux_server.stripe.reading import (
    Customer,
    FailedRead,
    UnknownCustomer,
    list_customers,
    list_events,
    list_failed_reads,
    list_unknown_customers,
)
from flux_server.subscriptions.reading import UnmappedPrice, list_subscriptions, list_unmapped_prices
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.test_webhooks import deliver, event


async def test_customers_are_listed_with_who_says_so(world: World) -> None:
    world.stripe.put_customer("cus_1", metadata={"organization_id": "acme"})
    await world.mark(("customer", "cus_1"))
    await world.sync()

    async with world.database.write() as connection:
        await map_customer(connection, "test", "cus_2", "acme", NOON)

        assert await list_customers(connection, "test", "acme") == (
            Customer("cus_1", "metadata", deleted=False),
            Customer("cus_2", "explicit", deleted=False),
        )
        assert await list_customers(connection, "live", "acme") == ()


async def test_subscriptions_of_nobody_known_are_listed_until_somebody_says_whose(world: World) -> None:
    world.stripe.put_customer("cus_1", metadata={})
    world.stripe.put_subscription("sub_1")
    await world.mark(("subscription", "sub_1"))
    await world.sync()

    async with world.database.write() as connection:
        unknown = await list_unknown_customers(connection, "test", 9)
        await map_customer(connection, "test", "cus_1", "acme", NOON)

        assert unknown == (UnknownCustomer("cus_1", "sub_1", "active"),)
        assert await list_unknown_customers(connection, "test", 9) == ()


async def test_events_are_listed_newest_first_with_how_often_they_came(world: World) -> None:
    for name, later in (("evt_1", 0), ("evt_2", 5), ("evt_1", 9)):
        world.clock.now = NOON + later
        await deliver(world, event(id=name))

    async with world.database.read() as connection:
        found = await list_events(connection, "test", 9)
        assert await list_events(connection, "test", 1) == found[:1]

    assert [(each.id, each.object_id, each.received_at, each.deliveries) for each in found] == [
        ("evt_2", "sub_1", NOON + 5, 1),
        ("evt_1", "sub_1", NOON, 2),
    ]


async def test_what_could_not_be_read_is_listed_with_why(world: World) -> None:
    await world.mark(("subscription", "sub_9"))
    async with world.database.write() as connection:
        (claim,) = await claim_due(connection, "test", "subscription", NOON, 1)
        await put_back(connection, claim, "Stripe is down", not_before=NOON + 9)

        (failed,) = await list_failed_reads(connection, "test", 9)

    assert failed == FailedRead("subscription", "sub_9", 1, "Stripe is down")


async def test_prices_of_no_plan_are_counted_by_subscription(world: World) -> None:
    for number in (1, 2):
        item = {"id": f"si_{number}", "price": {"id": "price_stray"}, "quantity": 2}
        items = {"object": "list", "data": [item], "has_more": False}
        world.stripe.put_customer(f"cus_{number}", metadata={"organization_id": "acme"})
        world.stripe.put_subscription(f"sub_{number}", customer=f"cus_{number}", items=items)
        await world.mark(("subscription", f"sub_{number}"))
    await world.sync()

    async with world.database.read() as connection:
        assert await list_unmapped_prices(connection, "test", 9) == (UnmappedPrice("price_stray", 2),)
        first, second = await list_subscriptions(connection, "test", "acme")
    assert (first.id, second.id) == ("sub_1", "sub_2")
    assert [(item.price, item.plan_version, item.quantity) for item in first.items] == [
        ("price_stray", None, 2)
    ]


async def test_an_organization_without_subscriptions_has_none(world: World) -> None:
    async with world.database.write() as connection:
        await ensure_organization(connection, "test", "acme", now=NOON)

        assert await list_subscriptions(connection, "test", "acme") == ()
