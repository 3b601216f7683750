from __future__ import annotations

import pytest

from flux_middleware.errors import InvalidOrganizationError
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from flux_server.errors import NotFoundError
from flux_server.organizations.organizations import (
    ensure_organization,
    list_organizations,
    read_organization,
)
from tests.flux_server.running import NOON

ENV = "test"


async def test_an_organization_is_made_once_and_renamed_only_by_a_name(database: Database) -> None:
    async with database.write() as connection:
        first = await ensure_organization(connection, ENV, "acme", name="Acme", now=NOON)
        unnamed = await ensure_organization(connection, ENV, "acme", now=NOON + 1)
        renamed = await ensure_organization(connection, ENV, "acme", name="ACME", now=NOON + 2)

        assert unnamed == first
        assert (renamed.name, renamed.created_at) == ("ACME", NOON)
        assert await current_revision(connection, ENV) == 0, "followers know nothing of names"


@pytest.mark.parametrize("organization", ["a/b", "a b", "Ümlaut & Söhne", "ü" * 127, "100%", "a" * 255])
async def test_any_id_of_an_application_will_do(database: Database, organization: str) -> None:
    async with database.write() as connection:
        await ensure_organization(connection, ENV, organization, now=NOON)

        assert (await read_organization(connection, ENV, organization)).id == organization


@pytest.mark.parametrize("organization", ["", "ü" * 128, "a\0b"])
async def test_an_impossible_id_is_refused(database: Database, organization: str) -> None:
    async with database.write() as connection:
        with pytest.raises(InvalidOrganizationError):
            await ensure_organization(connection, ENV, organization, now=NOON)


async def test_organizations_are_found_by_part_of_id_or_name(database: Database) -> None:
    async with database.write() as connection:
        await ensure_organization(connection, ENV, "acme", name="Roadrunner Inc", now=NOON)
        await ensure_organization(connection, ENV, "org_1", name="100% Pure", now=NOON)
        await ensure_organization(connection, ENV, "orgx1", name="Other", now=NOON)

        async def found(query: str, **page: object) -> list[str]:
            page = {"after": "", "limit": 50} | page
            listed = await list_organizations(connection, ENV, query=query, **page)  # type: ignore[arg-type]
            return [organization.id for organization in listed]

        assert await found("RUNNER") == ["acme"]
        assert await found("org_1") == ["org_1"]
        assert await found("0%") == ["org_1"]
        assert await found("") == ["acme", "org_1", "orgx1"]
        assert await found("", after="acme", limit=1) == ["org_1"]


async def test_an_unknown_organization_is_named(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(NotFoundError, match="no organization 'nobody'"):
            await read_organization(connection, ENV, "nobody")
