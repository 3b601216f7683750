from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, OrganizationRecord
from flux_server.catalog.features import save_feature
from flux_server.database import Database
from flux_server.environments.history import read_history
from flux_server.environments.revisions import changes_since, current_revision
from flux_server.errors import NotFoundError
from flux_server.organizations.forgetting import OrganizationLiveError, forget_organization
from flux_server.organizations.organizations import ensure_organization, list_organizations
from flux_server.organizations.overrides import add_override
from flux_server.organizations.records import read_record, refresh_record
from flux_server.subscriptions.subscriptions import SubscriptionState, save_subscription
from tests.flux_server.running import NOON

ENV = "test"


@pytest.fixture
async def acme(database: Database) -> Database:
    """A database where acme has an override and a subscription that is over."""
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        await ensure_organization(connection, ENV, "acme", name="Secret Inc", now=NOON)
        await add_override(connection, ENV, "acme", feature="sso", effect="deny", now=NOON)
        await save(connection, "sub_1", "canceled", ended_at=NOON)
    return database


async def save(
    connection: AsyncConnection, subscription: str, status: str, ended_at: int | None = None
) -> None:
    state = SubscriptionState(subscription, status, "acme", ended_at=ended_at)
    await save_subscription(connection, ENV, state, NOON)
    await refresh_record(connection, ENV, "acme", NOON)


async def test_of_a_forgotten_organization_only_that_it_was_forgotten_is_known(acme: Database) -> None:
    async with acme.write("ada") as connection:
        await forget_organization(connection, ENV, "acme", NOON + 9)

    async with acme.read() as connection:
        assert await list_organizations(connection, ENV) == ()
        assert await read_record(connection, ENV, "acme") == OrganizationRecord("acme")
        (entry,) = await read_history(
            connection, ENV, kinds=["organization", "record", "customers"], subject="acme", limit=9
        )
    assert (entry.actor, entry.at, entry.before, entry.after) == ("ada", NOON + 9, None, None)


async def test_followers_hear_that_it_is_gone(acme: Database) -> None:
    async with acme.write() as connection:
        before = await current_revision(connection, ENV)
        await forget_organization(connection, ENV, "acme", NOON)
        (change,) = await changes_since(connection, ENV, before, 9)

    assert (change.kind, change.organization) == ("organization", "acme")


@pytest.mark.parametrize("status", ["active", "past_due", "unpaid", "paused"])
async def test_whoever_subscribes_is_not_forgotten(acme: Database, status: str) -> None:
    async with acme.write() as connection:
        await save(connection, "sub_2", status)
        with pytest.raises(OrganizationLiveError, match="sub_2"):
            await forget_organization(connection, ENV, "acme", NOON)

        assert len((await read_record(connection, ENV, "acme")).overrides) == 1


async def test_a_forgotten_organization_can_be_made_anew(acme: Database) -> None:
    async with acme.write() as connection:
        await forget_organization(connection, ENV, "acme", NOON)
        again = await ensure_organization(connection, ENV, "acme", now=NOON + 9)

        assert (again.name, again.created_at) == ("", NOON + 9)
        assert await read_record(connection, ENV, "acme") == OrganizationRecord("acme")


async def test_whom_nobody_knows_cannot_be_forgotten(acme: Database) -> None:
    async with acme.write() as connection:
        with pytest.raises(NotFoundError):
            await forget_organization(connection, ENV, "nobody", NOON)
