"""A desk at an empty server, and one at a shop's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flux_server.catalog.documents import SHOP, plain
from tests.flux_server.cli.desk import Desk
from tests.flux_server.running import RunningServer


@pytest.fixture
def desk(server: RunningServer, tmp_path: Path) -> Desk:
    directory = tmp_path / "desk"
    directory.mkdir()
    return Desk(server, directory, {"FLUX_URL": server.url, "FLUX_API_KEY": server.make_key("admin")})


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """A desk at an environment that sells what the shop does, with a file that says so."""
    with desk.server.client("admin") as admin:
        admin.put("/v1/catalog", json=plain(SHOP)).raise_for_status()
    desk.write(SHOP)
    return desk
