from __future__ import annotations

import asyncio

from flux_server.database import Database
from flux_server.environments.api_keys import create_api_key, revoke_api_key
from flux_server.environments.jobs import Watch, environment_jobs
from flux_server.environments.revisions import advance, oldest_revision
from flux_server.jobs.runner import Job, run_jobs
from tests.flux_server.running import NOON


def job(database: Database, name: str) -> Job:
    return next(job for job in environment_jobs(database, Watch(database), lambda: NOON) if job.name == name)


async def test_what_another_process_committed_rings_here(database_url: str, database: Database) -> None:
    other = Database(database_url)
    async with other.write() as connection:
        key, _ = await create_api_key(connection, "test", name="web", scope="sdk", now=NOON)
    await job(database, "watch").run()

    with database.bell.listening("changes:test") as changed, database.bell.listening("api-keys") as revoked:
        async with run_jobs([job(database, "watch")], database.bell):
            async with other.write() as connection:
                await advance(connection, "test", kind="catalog", now=NOON)
                await revoke_api_key(connection, "test", key.id, now=NOON)
            await asyncio.wait_for(asyncio.gather(changed.wait(), revoked.wait()), 10)
    await other.close()


async def test_pruning_leaves_what_a_follower_may_need(database: Database) -> None:
    async with database.write() as connection:
        await advance(connection, "test", kind="catalog", now=NOON)

    assert not await job(database, "prune").run()

    async with database.read() as connection:
        assert await oldest_revision(connection, "test") == 0
