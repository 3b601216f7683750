from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from flux_server import migrations
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


def to_revision(connection: Connection, revision: str) -> None:
    """Bring a database that is as new as the code to the schema of before."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def test_a_webhook_secret_that_was_kept_with_the_link_is_kept(database: Database) -> None:
    async with database.write() as connection:
        await connection.run_sync(to_revision, "0001")
        await connection.execute(
            sa.text(
                "INSERT INTO stripe_links (environment, token, account, livemode, api_key, api_key_shown, "
                "webhook_secret, status, metadata_key, created_at) "
                "VALUES ('test', 't', '', false, :key, 'rk', :secret, 'active', 'org', 7)"
            ),
            {"key": b"key", "secret": b"sealed"},
        )

    await upgrade(database)

    async with database.write() as connection:
        kept = await connection.execute(sa.text("SELECT kind, secret, added_at FROM stripe_webhook_secrets"))
        assert [tuple(row) for row in kept] == [("snapshot", b"sealed", 7)]
        await connection.run_sync(to_revision, "0001")
        back = await connection.execute(sa.text("SELECT webhook_secret FROM stripe_links"))
        assert back.scalar_one() == b"sealed"
