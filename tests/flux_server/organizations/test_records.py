from __future__ import annotations

import asyncio

import pytest

from flux_middleware.snapshot import Feature, OrganizationRecord
from flux_server.catalog.features import save_feature
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from flux_server.errors import NotFoundError
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.overrides import add_override
from flux_server.organizations.records import read_record, read_record_page, refresh_record
from flux_server.subscriptions.subscriptions import SubscriptionState, save_subscription
from tests.flux_server.running import NOON

ENV = "test"


async def save(database: Database, subscription: str, organization: str = "acme") -> bool:
    async with database.write() as connection:
        await ensure_organization(connection, ENV, organization, now=NOON)
        state = SubscriptionState(subscription, "active", organization)
        await save_subscription(connection, ENV, state, NOON)
        return await refresh_record(connection, ENV, organization, NOON)


async def test_the_same_state_takes_no_revision(database: Database) -> None:
    assert await save(database, "sub_1")
    assert not await save(database, "sub_1")

    async with database.read() as connection:
        assert await current_revision(connection, ENV) == 1
        assert (await read_record(connection, ENV, "acme")).revision == 1


async def test_an_unknown_organization_has_an_empty_record(database: Database) -> None:
    async with database.write() as connection:
        assert await read_record(connection, ENV, "nobody") == OrganizationRecord("nobody")
        with pytest.raises(NotFoundError, match="no organization 'nobody'"):
            await refresh_record(connection, ENV, "nobody", NOON)


async def test_pages_hold_every_record_once(database: Database) -> None:
    names = sorted(f"org-{number:02}" for number in range(12))
    for name in names:
        await save(database, f"sub-{name}", name)

    found: list[bytes] = []
    after = ""
    async with database.read() as connection:
        while True:
            after, records = await read_record_page(connection, ENV, after=after, limit=5)
            if not records:
                break
            found += records

    assert [name for name in names if any(f'"{name}"'.encode() in record for record in found)] == names
    assert len(found) == len(names)


async def test_two_writers_of_one_record_both_count(database: Database) -> None:
    """Each rebuilds the record; neither may do so without what the other wrote."""
    await save(database, "sub_0")
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("seats", "limit"), NOON)

    async def override(number: int) -> None:
        async with database.write() as connection:
            await add_override(connection, ENV, "acme", feature="seats", effect="add", value=number, now=NOON)

    work = [override(number) for number in range(10)] + [
        save(database, f"sub_{number}") for number in range(1, 10)
    ]
    await asyncio.wait_for(asyncio.gather(*work), 60)

    async with database.read() as connection:
        record = await read_record(connection, ENV, "acme")
        assert record.revision == await current_revision(connection, ENV)
    assert len(record.subscriptions) == 10
    assert sorted(override.value for override in record.overrides if override.value is not None) == list(
        range(10)
    )


async def test_writers_of_many_organizations_do_not_deadlock(database: Database) -> None:
    names = [f"org-{number}" for number in range(6)]

    async def write(order: list[str], writer: int) -> None:
        async with database.write() as connection:
            for name in order:
                await ensure_organization(connection, ENV, name, now=NOON)
                state = SubscriptionState(f"sub-{name}-{writer}", "active", name)
                await save_subscription(connection, ENV, state, NOON)
                await refresh_record(connection, ENV, name, NOON)

    await asyncio.wait_for(
        asyncio.gather(*(write(names[shift:] + names[:shift], shift) for shift in range(6))), 60
    )

    async with database.read() as connection:
        for name in names:
            assert len((await read_record(connection, ENV, name)).subscriptions) == 6
