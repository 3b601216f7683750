"""Organizations' records: what workers receive of each, rebuilt whenever something they are made of changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import Row, String, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import OrganizationRecord, Override, decode, encode
from flux_server.database import one_of, rows
from flux_server.environments.history import note_all
from flux_server.environments.revisions import advance_organizations, lock
from flux_server.errors import NotFoundError
from flux_server.organizations.outside_grants import OutsideGrant, grant_overrides, read_grants_of
from flux_server.organizations.tables import organizations, overrides
from flux_server.subscriptions.subscriptions import read_subscriptions_of

__all__ = [
    "read_overrides_of",
    "read_record",
    "read_record_page",
    "read_records",
    "refresh_record",
    "refresh_records",
]


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
    # An outer join, and no condition that makes it an inner one: SQLite then begins with what is wanted.
    found = await connection.execute(
        select(organizations.c.id, organizations.c.record).select_from(wanted.outerjoin(organizations, same))
    )
    return {name: decode(record, OrganizationRecord) for name, record in found if name is not None}


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
    return bool(await refresh_records(connection, environment, [organization], now))


async def refresh_records(
    connection: AsyncConnection, environment: str, ids: Collection[str], now: float
) -> frozenset[str]:
    """Rebuild the records of several organizations, as `refresh_record` does; return whose differed.

    Raises:
        NotFoundError: the server has not heard of one of them.
    """
    await lock(connection, environment)
    stored = await read_records(connection, environment, ids)
    unknown = sorted(set(ids) - stored.keys())
    if unknown:
        raise NotFoundError(f"there is no organization {unknown[0]!r:.300}")
    subscriptions = await read_subscriptions_of(connection, environment, ids)
    exceptions = await read_overrides_of(connection, environment, ids)
    grants = await read_grants_of(connection, environment, ids)
    rebuilt = {
        name: msgspec.structs.replace(
            before,
            subscriptions=subscriptions.get(name, ()),
            overrides=_overrides(exceptions.get(name, ()), grants.get(name, ())),
        )
        for name, before in stored.items()
    }
    differing = sorted(name for name, record in rebuilt.items() if record != stored[name])
    await _store(connection, environment, [rebuilt[name] for name in differing], now)
    return frozenset(differing)


async def read_overrides_of(
    connection: AsyncConnection, environment: str, ids: Iterable[str]
) -> dict[str, tuple[Override, ...]]:
    """Return the overrides, oldest first, of those of the organizations that have any."""
    found = await connection.execute(
        select(overrides)
        .where(overrides.c.environment == environment, overrides.c.organization.in_(one_of(connection, ids)))
        .order_by(overrides.c.created_at, overrides.c.id)
    )
    theirs: dict[str, list[Override]] = {}
    for row in found:
        theirs.setdefault(row.organization, []).append(_override(row))
    return {organization: tuple(each) for organization, each in theirs.items()}


async def _store(
    connection: AsyncConnection, environment: str, records: list[OrganizationRecord], now: float
) -> None:
    if not records:
        return
    revisions = await advance_organizations(connection, environment, [record.id for record in records], now)
    new = {record.id: msgspec.structs.replace(record, revision=revisions[record.id]) for record in records}
    mine = (organizations.c.environment == environment) & (organizations.c.id == bindparam("which"))
    await connection.execute(
        update(organizations).where(mine).values(record=bindparam("new_record")),
        [{"which": name, "new_record": encode(record)} for name, record in new.items()],
    )
    await note_all(connection, environment, "record", new, now)


def _overrides(own: tuple[Override, ...], grants: Iterable[OutsideGrant]) -> tuple[Override, ...]:
    return (*own, *grant_overrides(grants, own)) if grants else own


def _override(row: Row[Any]) -> Override:
    return Override(
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
