"""The log under fire: whoever follows it misses nothing, whoever writes it never deadlocks."""

from __future__ import annotations

import asyncio

from flux_server.database import Database
from flux_server.environments.revisions import (
    ChangedSubject,
    advance,
    advance_usage,
    catalog_revision,
    changes_since,
    current_revision,
    oldest_revision,
    prune_changes,
)
from tests.flux_server.running import NOON

WRITERS, CHANGES = 8, 25


async def write_one(database: Database, organization: str, environment: str = "test") -> int:
    async with database.write() as connection:
        return await advance(
            connection, environment, kind="organization", organization=organization, now=NOON
        )


async def test_a_follower_sees_every_change_of_concurrent_writers(database: Database) -> None:
    seen: list[ChangedSubject] = []

    async def write(writer: int) -> None:
        for change in range(CHANGES):
            await write_one(database, f"{writer}-{change}")

    async def follow() -> None:
        with database.bell.listening("changes:test") as rung:
            while len(seen) < WRITERS * CHANGES:
                async with database.read() as connection:
                    since = seen[-1].revision if seen else 0
                    seen.extend(await changes_since(connection, "test", since, 7))
                if len(seen) < WRITERS * CHANGES and not await current_is_beyond(since):
                    await asyncio.wait_for(rung.wait(), 10)
                rung.clear()

    async def current_is_beyond(since: int) -> bool:
        async with database.read() as connection:
            return await current_revision(connection, "test") > since

    await asyncio.wait_for(asyncio.gather(follow(), *(write(writer) for writer in range(WRITERS))), 60)

    assert [change.revision for change in seen] == list(range(1, WRITERS * CHANGES + 1))
    assert {change.organization for change in seen} == {
        f"{writer}-{change}" for writer in range(WRITERS) for change in range(CHANGES)
    }


async def test_a_rolled_back_change_leaves_no_gap_and_rings_nobody(database: Database) -> None:
    with database.bell.listening("changes:test") as rung:
        try:
            async with database.write() as connection:
                await advance(connection, "test", kind="catalog", now=NOON)
                raise InterruptedError
        except InterruptedError:
            pass

        assert not rung.is_set()
        assert await write_one(database, "acme") == 1
        assert rung.is_set()


async def test_environments_and_logs_count_on_their_own(database: Database) -> None:
    await write_one(database, "acme")

    assert await write_one(database, "acme", "live") == 1
    async with database.write() as connection:
        assert await advance_usage(connection, "test") == 1
        assert await current_revision(connection, "test", "usage") == 1


async def test_the_catalogs_revision_is_that_of_its_last_change(database: Database) -> None:
    async with database.write() as connection:
        assert await catalog_revision(connection, "test") == 0
        await advance(connection, "test", kind="catalog", now=NOON)
    await write_one(database, "acme")

    async with database.read() as connection:
        assert await catalog_revision(connection, "test") == 1


async def test_pruning_keeps_the_newest_changes(database: Database) -> None:
    for number in range(5):
        await write_one(database, f"org-{number}")

    async with database.write() as connection:
        assert await oldest_revision(connection, "test") == 0
        assert await prune_changes(connection, "test", keep=2) == 3
        assert await oldest_revision(connection, "test") == 3
        assert [change.revision for change in await changes_since(connection, "test", 3, 10)] == [4, 5]


async def test_an_empty_log_is_in_reach_of_the_present_only(database: Database) -> None:
    await write_one(database, "acme")

    async with database.write() as connection:
        await prune_changes(connection, "test", keep=0)
        assert await oldest_revision(connection, "test") == 1
