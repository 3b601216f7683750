from __future__ import annotations

import pytest

from flux_middleware.periods import usage_period
from flux_middleware.snapshot import Feature, Grant, Metric, OrganizationRecord, UsageBatch, UsageSlot
from flux_server.catalog.features import save_feature, save_metric
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.records import refresh_record
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, save_subscription
from flux_server.usage.ingest import ingest
from flux_server.usage.reading import (
    UsageBucket,
    read_buckets,
    read_standing,
    standings_of,
    standings_since,
)
from tests.flux_server.running import NOON

ENV = "test"
HOUR = NOON // 3600 * 3600
DAY = 86_400
MONTH, MONTH_END = usage_period(OrganizationRecord(""), NOON)


@pytest.fixture
async def metered(database: Database) -> Database:
    """A database with the metric `api-calls`, and a plan sold as price_1."""
    async with database.write() as connection:
        await save_metric(connection, ENV, Metric("api-calls"), NOON)
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        draft = PlanDraft("pro", prices=(PlanPrice("price_1"),), grants=(Grant("sso", True),))
        await save_plan(connection, ENV, draft, NOON)
        await publish_plan(connection, ENV, "pro", existing="stay", now=NOON)
    return database


async def use(database: Database, organization: str, buckets: dict[int, int], source: str = "s1") -> None:
    slots = tuple(UsageSlot(organization, "api-calls", bucket, total) for bucket, total in buckets.items())
    async with database.write() as connection:
        await ingest(connection, ENV, UsageBatch(source, slots), NOON)


async def subscribe(database: Database, organization: str, start: int, end: int) -> None:
    async with database.write() as connection:
        await ensure_organization(connection, ENV, organization, now=NOON)
        item = ItemState(f"si-{organization}", "price_1", period_start=start, period_end=end)
        state = SubscriptionState(f"sub-{organization}", "active", organization, (item,))
        await save_subscription(connection, ENV, state, NOON)
        await refresh_record(connection, ENV, organization, NOON)


async def standing(database: Database, organization: str, now: float = NOON) -> tuple[int, int]:
    async with database.read() as connection:
        found = await read_standing(connection, ENV, organization, "api-calls", now)
    return found.period_start, found.quantity


async def test_usage_of_nobody_is_nothing(metered: Database) -> None:
    assert await standing(metered, "nobody") == (MONTH, 0)


async def test_a_standing_follows_the_period_when_that_moves(metered: Database) -> None:
    await use(metered, "acme", {HOUR - DAY: 5, HOUR: 2})
    assert await standing(metered, "acme") == (MONTH, 7)

    await subscribe(metered, "acme", HOUR - 3600, HOUR + 30 * DAY)
    assert await standing(metered, "acme") == (HOUR - 3600, 2)

    await use(metered, "acme", {HOUR: 9})
    assert await standing(metered, "acme") == (HOUR - 3600, 9)

    await subscribe(metered, "acme", HOUR - 2 * DAY, HOUR + 28 * DAY)
    assert await standing(metered, "acme") == (HOUR - 2 * DAY, 14)


async def test_a_new_month_begins_at_nothing(metered: Database) -> None:
    await use(metered, "acme", {HOUR: 5})

    assert await standing(metered, "acme", MONTH_END + 1) == (MONTH_END, 0)


async def test_many_moved_standings_are_summed_up(metered: Database) -> None:
    names = [f"org-{number:03}" for number in range(450)]
    async with metered.write() as connection:
        slots = tuple(UsageSlot(name, "api-calls", HOUR, 3) for name in names)
        await ingest(connection, ENV, UsageBatch("s1", slots), MONTH - 10 + 3600 * 24 * 20)
    for name in names[:3]:
        await subscribe(metered, name, HOUR - 60, HOUR + DAY)

    async with metered.read() as connection:
        found = await standings_of(connection, ENV, names, NOON)

    assert {standing.organization for standing in found} == set(names)
    assert {standing.quantity for standing in found} == {3}


async def test_pages_of_changed_standings_never_split_a_revision(metered: Database) -> None:
    for batch in range(4):
        slots = tuple(UsageSlot(f"org-{batch}-{number}", "api-calls", HOUR, 1) for number in range(3))
        async with metered.write() as connection:
            await ingest(connection, ENV, UsageBatch("s1", slots), NOON)

    pages = []
    since = 0
    async with metered.read() as connection:
        while (update := await standings_since(connection, ENV, since, NOON, limit=4)) is not None:
            since = update.usage_revision
            pages.append((since, len(update.standings)))
        assert since == await current_revision(connection, ENV, "usage")

    assert pages == [(2, 6), (4, 6)]


async def test_a_standing_moves_to_its_newest_revision(metered: Database) -> None:
    await use(metered, "acme", {HOUR: 1})
    await use(metered, "umbrella", {HOUR: 1})
    await use(metered, "acme", {HOUR: 4})

    async with metered.read() as connection:
        update = await standings_since(connection, ENV, 0, NOON, limit=100)
        assert update is not None
        assert [(found.organization, found.quantity) for found in update.standings] == [
            ("umbrella", 1),
            ("acme", 4),
        ]
        assert await standings_since(connection, ENV, update.usage_revision, NOON, limit=100) is None


async def test_buckets_are_read_in_the_order_of_time(metered: Database) -> None:
    await use(metered, "acme", {HOUR: 2, HOUR - 3600: 5, HOUR - DAY: 7})

    async with metered.read() as connection:
        buckets = await read_buckets(connection, ENV, "acme", "api-calls", start=HOUR - 3600, end=HOUR + 1)

    assert buckets == (UsageBucket(HOUR - 3600, 5), UsageBucket(HOUR, 2))
