from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, String, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from flux_server.database import Database, announce, rows
from flux_server.environments.tables import revisions
from flux_server.errors import UnavailableError

CHANGES = revisions.c.log == "changes"


async def counts(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(select(revisions.c.value).where(CHANGES))).scalars())


async def test_a_read_sees_one_moment_throughout(database: Database) -> None:
    query = select(revisions.c.value).where(CHANGES & (revisions.c.environment == "test"))
    async with database.read() as reader:
        before = (await reader.execute(query)).scalar_one()
        async with database.write() as writer:
            await writer.execute(update(revisions).values(value=before + 1))
        assert (await reader.execute(query)).scalar_one() == before

    assert await counts(database) == [before + 1] * 2


async def test_what_fails_changes_nothing_and_rings_nobody(database: Database) -> None:
    before = await counts(database)

    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(update(revisions).values(value=0))
            announce(connection, "topic")
            raise RuntimeError("on purpose")

    with database.bell.listening("topic") as rung:
        with pytest.raises(RuntimeError, match="on purpose"):
            await fail()

        assert not rung.is_set()
    assert await counts(database) == before


async def test_the_bell_rings_when_the_change_can_be_seen(database: Database) -> None:
    seen: list[list[int]] = []

    async def listen() -> None:
        with database.bell.listening("topic") as rung:
            ready.set()
            await rung.wait()
            seen.append(await counts(database))

    ready = asyncio.Event()
    listener = asyncio.create_task(listen())
    await ready.wait()
    async with database.write() as connection:
        await connection.execute(update(revisions).values(value=7))
        announce(connection, "topic")
    await listener

    assert seen == [[7, 7]]


async def test_writers_of_two_processes_wait_for_each_other(database: Database) -> None:
    async def count(mine: Database) -> None:
        for _ in range(10):
            async with mine.write() as connection:
                query = (
                    select(revisions.c.value)
                    .where(CHANGES & (revisions.c.environment == "test"))
                    .with_for_update()
                )
                present = (await connection.execute(query)).scalar_one()
                await connection.execute(update(revisions).values(value=present + 1))

    start, *_ = await counts(database)
    other = Database(database.url.render_as_string(hide_password=False))
    await asyncio.gather(count(database), count(other), count(other))
    await other.close()

    assert await counts(database) == [start + 30] * 2


async def test_rows_are_joined_as_they_are(database: Database) -> None:
    kinds: dict[str, TypeEngine[Any]] = {"name": String(), "number": BigInteger()}
    data = [("größe", 2**53), ('it\'s "quoted" \\', -1), ("[1]", 0), ("a\nb", 7), ("", None)]
    async with database.read() as connection:
        found = await connection.execute(select(rows(connection, kinds, data)))

        assert [tuple(row) for row in found] == data


@pytest.mark.parametrize("count", [0, 1, 40_000])
async def test_rows_may_be_any_number(database: Database, count: int) -> None:
    async with database.read() as connection:
        found = await connection.execute(
            select(rows(connection, {"number": BigInteger()}, [(number,) for number in range(count)]))
        )

        assert list(found.scalars()) == list(range(count))


async def test_an_error_does_not_say_what_a_statement_carried(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(DBAPIError) as failed:
            await connection.execute(
                text("SELECT name FROM nowhere WHERE name = :name"), {"name": "a-secret"}
            )

    assert "nowhere" in str(failed.value)
    assert "a-secret" not in str(failed.value)


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_a_database_that_cannot_be_reached_is_unavailable(mode: str) -> None:
    database = Database("postgresql+asyncpg://flux:hunter2@127.0.0.1:1/flux")

    with pytest.raises(UnavailableError, match="try again") as failed:
        async with getattr(database, mode)():
            pass

    assert isinstance(failed.value.__cause__, OSError)
    await database.close()


async def test_an_interrupted_transaction_leaves_the_database_usable(database: Database) -> None:
    async def hold() -> None:
        async with database.write() as connection:
            await connection.execute(update(revisions).values(value=0))
            held.set()
            await asyncio.Event().wait()

    before = await counts(database)
    for _ in range(12):  # more than the pool has connections
        held = asyncio.Event()
        task = asyncio.create_task(hold())
        await held.wait()
        task.cancel()
        await asyncio.wait([task])

    assert await counts(database) == before
    async with asyncio.timeout(10), database.write() as connection:
        await connection.execute(update(revisions).values(value=1))


async def test_sqlite_keeps_its_readers_apart_from_its_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'flux.sqlite3'}")
    async with database.read() as connection:
        settings = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    await database.close()

    assert settings == ["wal", 1, 30_000]
