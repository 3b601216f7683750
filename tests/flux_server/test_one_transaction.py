from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import Database, actor_of, announce
from flux_server.environments.tables import environments


async def nothing(_: AsyncConnection) -> None:
    return


async def default_plan(database: Database) -> str | None:
    """Return the default plan of `test`: what these tests write."""
    query = select(environments.c.default_plan).where(environments.c.key == "test")
    async with database.read() as connection:
        found: str | None = (await connection.execute(query)).scalar_one()
    return found


async def choose(database: Database, plan: str, actor: str = "ann") -> None:
    async with database.write(actor) as connection:
        assert actor_of(connection) == actor
        await connection.execute(
            update(environments).where(environments.c.key == "test").values(default_plan=plan)
        )
        announce(connection, "topic")


async def seen_by_others(database: Database) -> str | None:
    return await asyncio.create_task(_elsewhere(database))


async def _elsewhere(database: Database) -> str | None:
    other = Database(database.url.render_as_string(hide_password=False))
    try:
        return await default_plan(other)
    finally:
        await other.close()


async def test_all_that_is_written_is_kept_and_told_at_the_end(database: Database) -> None:
    with database.bell.listening("topic") as rung:
        async with database.one_transaction(nothing):
            await choose(database, "pro")
            await choose(database, "gold", "bob")

            assert not rung.is_set()
            assert await seen_by_others(database) is None
            assert await default_plan(database) == "gold"

        assert rung.is_set()
    assert await seen_by_others(database) == "gold"


@pytest.mark.parametrize("ending", ["raises", "undo"])
async def test_what_does_not_end_well_has_changed_nothing(database: Database, ending: str) -> None:
    async def end() -> None:
        async with database.one_transaction(nothing) as transaction:
            await choose(database, "pro")
            if ending == "undo":
                await transaction.undo()
            raise RuntimeError(ending)

    with database.bell.listening("topic") as rung:
        with pytest.raises(RuntimeError, match=ending):
            await end()

        assert not rung.is_set()
    assert await default_plan(database) is None
    await choose(database, "gold")


async def test_a_write_that_fails_undoes_those_before_it(database: Database) -> None:
    async def fail() -> None:
        async with database.write():
            raise RuntimeError("on purpose")

    async with database.one_transaction(nothing) as transaction:
        await choose(database, "pro")
        with pytest.raises(RuntimeError, match="on purpose"):
            await fail()

        assert transaction.connection is None
        assert await default_plan(database) is None


async def test_it_begins_with_the_first_write_and_only_once(database: Database) -> None:
    begun: list[str] = []

    async def begin(connection: AsyncConnection) -> None:
        begun.append(actor_of(connection))

    async with database.one_transaction(begin):
        await default_plan(database)
        assert begun == []
        await choose(database, "pro", "ann")
        await choose(database, "gold", "bob")

    assert begun == ["ann"]


async def test_a_task_that_outlives_the_block_writes_on_its_own(database: Database) -> None:
    async def later() -> None:
        await over.wait()
        await choose(database, "pro")

    over = asyncio.Event()
    async with database.one_transaction(nothing):
        task = asyncio.create_task(later())
    over.set()
    await task

    assert await seen_by_others(database) == "pro"
