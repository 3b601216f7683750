"""Organizations' records: what workers receive of each, rebuilt whenever something they are made of changes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import String, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import OrganizationRecord, Override, decode, encode
from flux_server.database import rows
from flux_server.environments.history import note
from flux_server.environments.revisions import advance, lock
from flux_server.errors import NotFoundError
from flux_server.organizations.tables import organizations, overrides
from flux_server.subscriptions.subscriptions import read_subscriptions

__all__ = ["read_record", "read_record_page", "read_records", "refresh_record"]


async def read_record(connection: AsyncConnection, environment: str, organization: str) -> OrganizationRecord:
    """Return the organization's record; an empty one if the server has not heard of it."""
    known = await read_records(connection, environment, [organization])
    return known.get(organization) or OrganizationRecord(organization)


async def read_records(
    connection: AsyncConnection, environment: str, ids: Iterable[str]
) -> dict[str, OrganizationRecord]:
    """Return the records of those organizations that the server has heard of."""
    wanted = rows(connection, {"id": String()}, [(name,) for name in ids])
    same = (organizations.c.environment == environment) & (organizations.c.id == wanted.c.id)
    found = await connection.execute(
        select(organizations.c.id, organizations.c.record)
        .select_from(wanted.outerjoin(organizations, same))
        .where(organizations.c.id.is_not(None))
    )
    return {name: decode(record, OrganizationRecord) for name, record in found}


async def read_record_page(
    connection: AsyncConnection, environment: str, *, after: str, limit: int
) -> tuple[str, list[bytes]]:
    """Return the JSON of the next `limit` records in the order of their ids, and the last of these ids."""
    found = await connection.execute(
        select(organizations.c.id, organizations.c.record)
        .where(organizations.c.environment == environment, organizations.c.id > after)
        .order_by(organizations.c.id)
        .limit(limit)
    )
    page = [(name, bytes(record)) for name, record in found]
    return (page[-1][0] if page else after), [record for _, record in page]


async def refresh_record(
    connection: AsyncConnection, environment: str, organization: str, now: float
) -> bool:
    """Rebuild the organization's record; if it differs from the stored one, store it under a new revision.

    Returns:
        Whether it differed.
    """
    await lock(connection, environment)
    mine = (organizations.c.environment == environment) & (organizations.c.id == organization)
    stored = (await connection.execute(select(organizations.c.record).where(mine))).scalar_one_or_none()
    if stored is None:
        raise NotFoundError(f"there is no organization {organization!r:.300}")
    before = decode(stored, OrganizationRecord)
    record = OrganizationRecord(
        id=organization,
        revision=before.revision,
        subscriptions=await read_subscriptions(connection, environment, organization),
        overrides=await _read_overrides(connection, environment, organization),
    )
    if record == before:
        return False
    revision = await advance(connection, environment, kind="organization", organization=organization, now=now)
    record = msgspec.structs.replace(record, revision=revision)
    await connection.execute(update(organizations).where(mine).values(record=encode(record)))
    await note(connection, environment, "record", organization, record, now)
    return True


async def _read_overrides(
    connection: AsyncConnection, environment: str, organization: str
) -> tuple[Override, ...]:
    found = await connection.execute(
        select(overrides)
        .where(overrides.c.environment == environment, overrides.c.organization == organization)
        .order_by(overrides.c.created_at, overrides.c.id)
    )
    return tuple(
        Override(
            id=row.id,
            feature=row.feature,
            effect=row.effect,
            value=None if row.value is None else msgspec.json.decode(row.value),
            until=row.until,
            author=row.author,
            reason=row.reason,
            since=row.since,
            enforcement=row.enforcement,
        )
        for row in found
    )
