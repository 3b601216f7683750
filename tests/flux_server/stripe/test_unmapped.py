"""What waits for somebody: subscriptions of nobody known, and prices of no plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flux_server.stripe.customers import map_customer
from flux_server.stripe.reading import (
    UnmappedSubscription,
    count_unmapped_subscriptions,
    describe_unmapped_prices,
    list_unmapped_subscriptions,
)
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, save_subscription
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.conftest import World


async def subscribe(world: World, number: int = 1, *, customer: dict[str, Any], **fields: Any) -> None:
    world.stripe.put_customer(f"cus_{number}", **customer)
    world.stripe.put_subscription(f"sub_{number}", customer=f"cus_{number}", **fields)
    await world.mark(("subscription", f"sub_{number}"))
    await world.sync()


async def test_a_subscription_of_nobody_known_is_listed_with_what_to_do(world: World) -> None:
    await subscribe(world, customer={"name": "Acme", "email": "ops@acme.test"})

    async with world.database.read() as connection:
        (found,) = await list_unmapped_subscriptions(connection, "test", limit=9)
        assert await count_unmapped_subscriptions(connection, "test") == 1

    assert "metadata 'organization_id'" in found.advice
    assert found == UnmappedSubscription(
        "sub_1", "cus_1", "Acme", "ops@acme.test", "active", 1_760_000_000, found.advice
    )


@pytest.mark.parametrize(
    ("customer", "fields"),
    [
        pytest.param({"metadata": {"organization_id": "acme"}}, {}, id="customer-names-it"),
        pytest.param({}, {"metadata": {"organization_id": "acme"}}, id="subscription-names-it"),
        pytest.param({}, {"status": "canceled"}, id="over"),
    ],
)
async def test_what_has_an_organization_or_is_over_waits_for_nobody(
    world: World, customer: dict[str, Any], fields: dict[str, Any]
) -> None:
    await subscribe(world, customer=customer, **fields)

    async with world.database.read() as connection:
        assert await list_unmapped_subscriptions(connection, "test", limit=9) == ()


async def test_pages_of_unmapped_subscriptions_leave_nothing_out(world: World) -> None:
    for number in (1, 2, 3):
        await subscribe(world, number, customer={})

    async with world.database.read() as connection:
        page = await list_unmapped_subscriptions(connection, "test", limit=2)
        rest = await list_unmapped_subscriptions(connection, "test", after="sub_2", limit=2)

    assert [each.subscription for each in (*page, *rest)] == ["sub_1", "sub_2", "sub_3"]


async def test_mapping_takes_a_subscription_out_of_the_list(world: World) -> None:
    await subscribe(world, customer={})

    async with world.database.write() as connection:
        await map_customer(connection, "test", "cus_1", "acme", NOON)

        assert await list_unmapped_subscriptions(connection, "test", limit=9) == ()


async def test_a_price_of_no_plan_is_listed_with_how_many_wait_for_it(world: World) -> None:
    stray = {"object": "list", "data": [{"id": "si_1", "price": {"id": "price_stray"}}]}
    await subscribe(world, customer={}, items=stray)

    async with world.database.read() as connection:
        (found,) = await describe_unmapped_prices(connection, "test", limit=9)
        assert await describe_unmapped_prices(connection, "test", after="price_stray", limit=9) == ()

    assert (found.price, found.subscriptions, found.since) == ("price_stray", 1, 1_760_000_000)
    assert "price_stray" in found.advice


@pytest.fixture
def reader(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of a server in which two subscriptions to price_9 are nobody's."""
    for number in (1, 2):
        items = (ItemState(f"si_{number}", "price_9"),)
        state = SubscriptionState(f"sub_{number}", "active", items=items, started_at=NOON)
        server.write(lambda connection, state=state: save_subscription(connection, "test", state, NOON))  # type: ignore[misc]
    with server.client("read") as client:
        yield client


def test_unmapped_prices_are_told_over_http(reader: httpx.Client) -> None:
    answer = reader.get("/v1/stripe/unmapped-prices", params={"limit": 1}).raise_for_status().json()

    assert answer["next_cursor"] is None
    assert [(price["price"], price["subscriptions"]) for price in answer["prices"]] == [("price_9", 2)]
