"""Servers to send requests to: one for the tests that change nothing, and one on each kind of database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flux_server.settings import Settings
from tests.flux_server.running import FakeClock, RunningServer, run_server


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[RunningServer]:
    """A running server for a whole module, whose tests do not mind each other."""
    directory = tmp_path_factory.mktemp("data")
    shutil.copy(sqlite_template, directory / "flux.sqlite3")
    with run_server(Settings(data_dir=directory, public_url="")) as running:
        yield running


@pytest.fixture(scope="module")
def shared_admin(shared_server: RunningServer) -> Iterator[httpx.Client]:
    with shared_server.client("admin") as client:
        yield client


@pytest.fixture
def server_on_each(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[RunningServer]:
    """A running server, on each kind of database in turn."""
    settings = Settings(data_dir=tmp_path / "data", public_url="", database_url=database_url)
    with run_server(settings, clock) as running:
        yield running


@pytest.fixture
def admin(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client("admin") as client:
        yield client
