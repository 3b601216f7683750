from __future__ import annotations

import pytest

from flux_server.database import Database
from flux_server.environments.environments import ensure_environment, list_environments, read_environment
from flux_server.errors import InvalidRequestError, NotFoundError
from tests.flux_server.running import NOON


async def test_an_environment_keeps_its_instance_when_it_is_ensured_again(database: Database) -> None:
    async with database.write() as connection:
        first = await ensure_environment(connection, "staging", NOON)
        again = await ensure_environment(connection, "staging", NOON + 1)

    assert again == first


async def test_environments_are_listed_by_key(database: Database) -> None:
    async with database.read() as connection:
        assert [environment.key for environment in await list_environments(connection)] == ["live", "test"]


async def test_an_unknown_environment_is_named(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(NotFoundError, match="no environment 'nowhere'; there are live, test"):
            await read_environment(connection, "nowhere")


@pytest.mark.parametrize("key", ["", "A", "a_b", "a" * 33, "ä"])
async def test_a_key_that_would_not_fit_in_an_api_key_is_refused(database: Database, key: str) -> None:
    async with database.write() as connection:
        with pytest.raises(InvalidRequestError, match="1 to 32"):
            await ensure_environment(connection, key, NOON)
