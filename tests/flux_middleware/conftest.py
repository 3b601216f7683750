"""A real server that sells something, for tests of what talks to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_middleware.client import Flux
from flux_server.settings import Settings
from tests.flux_middleware.clients import client
from tests.flux_middleware.shop import Keys, Shop, WallClock, open_shop

# Of the server's own tests: a migrated database.
from tests.flux_server.conftest import sqlite_template as sqlite_template
from tests.flux_server.running import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands until it is turned, for server and client."""
    return FakeClock()


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> tuple[Path, Keys]:
    """A data directory to copy from, and the keys to what is in it."""
    directory = tmp_path_factory.mktemp("opened")
    shutil.copy(sqlite_template, directory / "flux.sqlite3")
    return directory, open_shop(Settings(data_dir=directory, public_url=""), FakeClock())


@pytest.fixture
def shop(opened: tuple[Path, Keys], tmp_path: Path, clock: FakeClock) -> Iterator[Shop]:
    """A running server, on that clock."""
    with _another(opened, tmp_path, clock) as shop:
        yield shop


@pytest.fixture
def wall_shop(opened: tuple[Path, Keys], tmp_path: Path) -> Iterator[Shop]:
    """A running server on the wall clock, for clients in other processes."""
    with _another(opened, tmp_path, WallClock()) as shop:
        yield shop


@pytest.fixture
def running(shop: Shop, tmp_path: Path, clock: FakeClock) -> Iterator[Flux]:
    """A client of that server, on that clock, which has heard from it."""
    with client(tmp_path, shop.url, shop.key, clock) as running:
        assert running.wait_until_ready()
        yield running


def _another(opened: tuple[Path, Keys], directory: Path, clock: FakeClock) -> Shop:
    template, keys = opened
    shutil.copytree(template, directory / "data")
    return Shop(Settings(data_dir=directory / "data", public_url=""), clock, keys)
