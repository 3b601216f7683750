"""Another process with the server's database: `python -m tests.flux_server.api.writer URL ORGANIZATION`."""

from __future__ import annotations

import asyncio
import sys

from flux_server.database import Database
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.overrides import add_override
from tests.flux_server.running import NOON


async def deny(url: str, organization: str) -> None:
    """Deny the organization `sso`."""
    database = Database(url)
    async with database.write() as connection:
        await ensure_organization(connection, "test", organization, now=NOON)
        await add_override(connection, "test", organization, feature="sso", effect="deny", now=NOON)
    await database.close()


if __name__ == "__main__":
    asyncio.run(deny(*sys.argv[1:]))
