from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from flux_middleware.snapshot import Feature, Grant, PauseCollection, Subscription
from flux_server.catalog.features import save_feature
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice
from flux_server.database import Database
from flux_server.organizations.organizations import ensure_organization
from flux_server.subscriptions.matching import match_items
from flux_server.subscriptions.subscriptions import (
    ItemState,
    SubscriptionState,
    count_subscribers,
    read_subscriptions,
    save_subscription,
)
from tests.flux_server.running import NOON

ENV = "test"
ITEM = ItemState("si_1", "price_1", quantity=3, period_start=NOON, period_end=NOON + 100)


@pytest.fixture
async def shop(database: Database) -> Database:
    """A database where `pro@1` is sold as price_1, and the organizations acme and umbrella."""
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("seats", "limit"), NOON)
        for organization in ("acme", "umbrella"):
            await ensure_organization(connection, ENV, organization, now=NOON)
    await publish(database, "pro", "price_1", 5)
    return database


async def publish(database: Database, plan: str, price: str, seats: int) -> None:
    draft = PlanDraft(plan, prices=(PlanPrice(price),), grants=(Grant("seats", seats),))
    async with database.write() as connection:
        await save_plan(connection, ENV, draft, NOON)
        await publish_plan(connection, ENV, plan, existing="stay", now=NOON)


async def save(database: Database, now: int = NOON, **changes: Any) -> set[str]:
    state = SubscriptionState("sub_1", status="active", organization="acme", items=(ITEM,))
    async with database.write() as connection:
        return await save_subscription(connection, ENV, dataclasses.replace(state, **changes), now)


async def subscriptions(database: Database, organization: str = "acme") -> tuple[Subscription, ...]:
    async with database.read() as connection:
        return await read_subscriptions(connection, ENV, organization)


async def plan_versions(database: Database) -> list[str]:
    return [item.plan_version for found in await subscriptions(database) for item in found.items]


async def test_a_saved_subscription_is_read_with_its_plan_versions(shop: Database) -> None:
    assert await save(shop, started_at=NOON, cancel_at=NOON + 50) == {"acme"}

    (subscription,) = await subscriptions(shop)
    (item,) = subscription.items
    assert (subscription.status, subscription.started_at, subscription.cancel_at) == (
        "active",
        NOON,
        NOON + 50,
    )
    assert (item.plan_version, item.quantity, item.price) == ("pro@1", 3, "price_1")
    assert (item.period_start, item.period_end) == (NOON, NOON + 100)


async def test_an_item_keeps_the_version_it_was_bought_as(shop: Database) -> None:
    await save(shop)
    await publish(shop, "pro", "price_1", 6)

    await save(shop)

    assert await plan_versions(shop) == ["pro@1"]


async def test_an_item_whose_price_changed_was_bought_anew(shop: Database) -> None:
    await save(shop)
    await publish(shop, "team", "price_2", 50)

    await save(shop, items=(ItemState("si_1", "price_2"),))

    assert await plan_versions(shop) == ["team@1"]


async def test_an_item_that_changed_to_an_unknown_price_gives_nothing(shop: Database) -> None:
    await save(shop)

    await save(shop, items=(ItemState("si_1", "price_2"),))

    assert await plan_versions(shop) == []


async def test_an_item_that_is_gone_is_forgotten(shop: Database) -> None:
    await save(shop, items=(ITEM, ItemState("si_2", "price_1")))

    await save(shop)

    assert await plan_versions(shop) == ["pro@1"]


async def test_a_price_that_is_mapped_later_matches_its_items(shop: Database) -> None:
    await save(shop, items=(ItemState("si_1", "price_2"),))
    await publish(shop, "team", "price_2", 50)

    async with shop.write() as connection:
        assert await match_items(connection, ENV, limit=10) == ({"acme"}, False)
        assert await match_items(connection, ENV, limit=10) == (set(), False)

    assert await plan_versions(shop) == ["team@1"]


async def test_items_are_matched_a_few_at_a_time(shop: Database) -> None:
    await save(shop, items=(ItemState("si_1", "price_2"), ItemState("si_2", "price_2")))
    await publish(shop, "team", "price_2", 50)

    async with shop.write() as connection:
        assert await match_items(connection, ENV, limit=1) == ({"acme"}, True)
        assert await match_items(connection, ENV, limit=1) == ({"acme"}, True)
        assert await match_items(connection, ENV, limit=1) == (set(), False)

    assert await plan_versions(shop) == ["team@1", "team@1"]


async def test_subscribers_of_each_version_are_counted_once(shop: Database) -> None:
    await save(shop, items=(ITEM, ItemState("si_2", "price_1")))
    async with shop.write() as connection:
        gone = SubscriptionState(
            "sub_2", "canceled", "umbrella", (ItemState("si_3", "price_1"),), ended_at=NOON
        )
        await save_subscription(connection, ENV, gone, NOON)

        assert await count_subscribers(connection, ENV, "pro") == {"pro@1": 1}


async def test_a_pause_of_collection_began_when_it_was_first_seen(shop: Database) -> None:
    pause = PauseCollection("void", resumes_at=NOON + 900)
    await save(shop, pause_collection=pause)
    await save(shop, NOON + 60, pause_collection=pause)

    (paused,) = await subscriptions(shop)
    assert paused.pause_collection == PauseCollection("void", NOON, NOON + 900)

    await save(shop, NOON + 90)
    assert (await subscriptions(shop))[0].pause_collection is None


async def test_a_subscription_that_moved_refreshes_both_organizations(shop: Database) -> None:
    await save(shop)

    assert await save(shop, organization="umbrella") == {"acme", "umbrella"}
    assert await subscriptions(shop) == ()
    assert len(await subscriptions(shop, "umbrella")) == 1


async def test_a_subscription_may_wait_for_its_organization(shop: Database) -> None:
    assert await save(shop, organization=None) == set()
    assert await save(shop) == {"acme"}


async def test_an_unknown_status_keeps_the_one_before(shop: Database) -> None:
    await save(shop)

    await save(shop, status="daydreaming")

    found = (await subscriptions(shop))[0]
    assert (found.status, found.unknown_status) == ("active", "daydreaming")


async def test_a_subscription_of_unknown_status_grants_nothing_at_first(shop: Database) -> None:
    await save(shop, status="daydreaming")

    assert (await subscriptions(shop))[0].status == "daydreaming"


async def test_past_due_begins_when_it_is_first_seen(shop: Database) -> None:
    await save(shop, now=NOON, status="past_due")
    await save(shop, now=NOON + 10, status="past_due")
    assert (await subscriptions(shop))[0].past_due_since == NOON

    await save(shop, now=NOON + 15, status="unpaid")
    assert (await subscriptions(shop))[0].past_due_since == NOON

    await save(shop, now=NOON + 20, status="past_due", past_due_since=NOON - 5)
    assert (await subscriptions(shop))[0].past_due_since == NOON - 5

    await save(shop, now=NOON + 25, status="past_due", past_due_since=NOON + 25)
    assert (await subscriptions(shop))[0].past_due_since == NOON - 5, "another payment failed meanwhile"

    await save(shop, now=NOON + 30)
    assert (await subscriptions(shop))[0].past_due_since is None
