"""Databases of both kinds, and a running server, for every test of the server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from flux_server.database import Database
from flux_server.environments.environments import ensure_environment
from flux_server.migrations.upgrade import upgrade
from flux_server.settings import Settings
from tests.flux_server.postgres import PostgresServer, run_postgres
from tests.flux_server.running import NOON, FakeClock, RunningServer, run_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """Name of a migrated database, to copy from."""
    name = postgres.make_database()
    asyncio.run(_migrate(postgres.url(name)))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file, to copy from."""
    path = tmp_path_factory.mktemp("template") / "flux.sqlite3"
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


async def _migrate(url: str) -> None:
    database = Database(url)
    await upgrade(database)
    async with database.write() as connection:
        for environment in ("live", "test"):
            await ensure_environment(connection, environment, NOON)
    await database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated database with the environments `test` and `live`, of each kind in turn."""
    if request.param == "sqlite":
        path = tmp_path / "flux.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite+aiosqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.make_database(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of each kind in turn, in the test's own event loop."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path) -> Settings:
    """Settings of a server with a fresh data directory."""
    directory = tmp_path / "data"
    directory.mkdir()
    shutil.copy(sqlite_template, directory / "flux.sqlite3")
    return Settings(data_dir=directory, public_url="")


@pytest.fixture
def server(settings: Settings, clock: FakeClock) -> Iterator[RunningServer]:
    """A running server on SQLite, with a clock that stands at NOON until it is turned."""
    with run_server(settings, clock) as running:
        yield running
