from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from flux_server.database import Database, metadata
from flux_server.environments.api_keys import (
    create_api_key,
    find_api_key,
    is_live,
    list_api_keys,
    revoke_api_key,
)
from flux_server.errors import InvalidRequestError, NotFoundError
from tests.flux_server.running import NOON


async def test_a_key_is_found_by_its_secret_only(database: Database) -> None:
    async with database.write() as connection:
        key, secret = await create_api_key(connection, "live", name="web", scope="sdk", now=NOON)

        assert re.fullmatch(r"flux_live_[A-Za-z0-9_-]{43}", secret)
        assert await find_api_key(connection, secret) == key
        assert await find_api_key(connection, secret[:-1] + "!") is None
        assert await find_api_key(connection, secret.replace("live", "test")) is None
        assert await find_api_key(connection, "") is None


async def test_the_database_holds_no_secret(database: Database) -> None:
    async with database.write() as connection:
        _, secret = await create_api_key(connection, "live", name="web", scope="sdk", now=NOON)
        stored = (await connection.execute(sa.select(metadata.tables["api_keys"]))).one()

    assert secret not in repr(stored)
    assert secret[len("flux_live_") + 4 :] not in repr(stored)


async def test_a_revoked_key_is_refused_at_once(database: Database) -> None:
    async with database.write() as connection:
        key, secret = await create_api_key(connection, "live", name="web", scope="sdk", now=NOON)
        with database.bell.listening("api-keys") as rung:
            await revoke_api_key(connection, "live", key.id, now=NOON + 5)
            await revoke_api_key(connection, "live", key.id, now=NOON + 9)

            assert await find_api_key(connection, secret) is None
            assert not await is_live(connection, key.id)
            assert [key.revoked_at for key in await list_api_keys(connection, "live")] == [NOON + 5]
            assert not rung.is_set(), "the revocation is not committed yet"


async def test_a_key_of_another_environment_cannot_be_revoked(database: Database) -> None:
    async with database.write() as connection:
        key, _ = await create_api_key(connection, "live", name="web", scope="sdk", now=NOON)

        with pytest.raises(NotFoundError, match="no API key"):
            await revoke_api_key(connection, "test", key.id, now=NOON)


@pytest.mark.parametrize(
    ("name", "scope", "complaint"),
    [
        pytest.param("web", "root", "one of sdk, read, admin, not 'root'", id="scope"),
        pytest.param("", "sdk", "1 to 255 characters", id="no-name"),
    ],
)
async def test_a_malformed_key_is_refused(database: Database, name: str, scope: str, complaint: str) -> None:
    async with database.write() as connection:
        with pytest.raises(InvalidRequestError, match=complaint):
            await create_api_key(connection, "live", name=name, scope=scope, now=NOON)
