from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from flux_server.database import Database, metadata
from flux_server.errors import StartError
from flux_server.migrations.upgrade import upgrade
from tests.flux_server.postgres import PostgresServer


async def test_migrations_lead_to_the_tables_that_the_code_declares(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_upgrading_twice_changes_nothing(database: Database) -> None:
    await upgrade(database)


async def test_a_database_of_newer_code_is_refused(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StartError, match=r"newer version of Flux \(schema 9999\); upgrade flux-middleware"):
        await upgrade(database)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql+asyncpg://flux:hidden@127.0.0.1:1/flux", id="nobody-listens"),
        pytest.param("sqlite+aiosqlite:////nowhere/flux.sqlite3", id="no-such-directory"),
    ],
)
async def test_an_unreachable_database_is_named_without_its_password(url: str) -> None:
    database = Database(url)

    with pytest.raises(
        StartError, match=r"cannot be used .*check that it runs, and FLUX_DATABASE_URL"
    ) as refused:
        await upgrade(database)

    assert "hidden" not in str(refused.value)
    await database.close()


async def test_an_unknown_postgres_database_is_refused(postgres: PostgresServer) -> None:
    database = Database(postgres.url("nowhere"))

    with pytest.raises(StartError, match="nowhere"):
        await upgrade(database)

    await database.close()
