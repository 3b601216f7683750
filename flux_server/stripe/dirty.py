"""Objects that must be read from Stripe again: marked, claimed by one reader at a time, cleared when read.

A mark raises the object's version. Whoever reads the object remembers the version from before, and the mark is
cleared only if it is still the same: what was marked meanwhile is read once more. A claim that was not settled in
time (its process died) passes to the next claimant, and the late one finds another claim in the row and gives up
before writing anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import announce, insert
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.tables import stripe_dirty, stripe_links

__all__ = [
    "ALL_SUBSCRIPTIONS",
    "DIRTY_TOPIC",
    "Claim",
    "any_due",
    "claim_due",
    "holds",
    "mark",
    "oldest_mark",
    "put_back",
    "settle",
]

DIRTY_TOPIC = "stripe-dirty"
ALL_SUBSCRIPTIONS: Final = ObjectRef("subscriptions", "all")
"""Mark this to have every subscription of the account read again, those that ended included."""

_columns = stripe_dirty.c


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to read an object and to save what was found."""

    environment: str
    object: ObjectRef
    version: int
    token: str
    attempts: int


async def mark(
    connection: AsyncConnection, environment: str, objects: Iterable[ObjectRef], now: float
) -> None:
    """Note that the objects must be read again, now."""
    marked = sorted(set(objects))  # in one order everywhere, so that two writers cannot wait for each other
    if not marked:
        return
    new = {"version": 1, "not_before": int(now), "lease_until": 0, "attempts": 0}
    await connection.execute(
        insert(connection, stripe_dirty).on_conflict_do_update(
            index_elements=stripe_dirty.primary_key,
            set_={"version": _columns.version + 1, "not_before": int(now)},
        ),
        [{"environment": environment, "object_type": ref.type, "object_id": ref.id} | new for ref in marked],
    )
    announce(connection, DIRTY_TOPIC)


async def any_due(connection: AsyncConnection, now: float) -> bool:
    """Answer whether anything can be claimed."""
    return bool((await connection.execute(select(exists().where(_due(now))))).scalar_one())


async def claim_due(connection: AsyncConnection, now: float, limit: int) -> tuple[Claim, ...]:
    """Claim up to `limit` objects whose time has come, the longest waiting first."""
    rows = await connection.execute(
        select(stripe_dirty)
        .where(_due(now))
        .order_by(_columns.not_before)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claims = tuple(
        Claim(
            environment=row.environment,
            object=ObjectRef(row.object_type, row.object_id),
            version=row.version,
            token=uuid.uuid4().hex,
            attempts=row.attempts + 1,
        )
        for row in rows
    )
    for claim in claims:
        await connection.execute(
            update(stripe_dirty)
            .where(_row(claim.environment, claim.object))
            .values(claim=claim.token, lease_until=int(now) + LEASE, attempts=claim.attempts)
        )
    return claims


async def holds(connection: AsyncConnection, claim: Claim) -> bool:
    """Answer whether the claim is still the object's; if so, it stays so until the transaction's end."""
    row = select(_columns.claim).where(_row(claim.environment, claim.object)).with_for_update()
    return (await connection.execute(row)).scalar_one_or_none() == claim.token


async def settle(connection: AsyncConnection, claim: Claim, *, look_again_at: int | None = None) -> None:
    """Clear the mark, or set it for `look_again_at`; one that was renewed meanwhile stays, for now."""
    unchanged = and_(_claimed(claim), _columns.version == claim.version)
    free = {"claim": None, "lease_until": 0, "attempts": 0, "last_error": None}
    if look_again_at is None:
        settled = await connection.execute(delete(stripe_dirty).where(unchanged))
    else:
        later = update(stripe_dirty).where(unchanged).values(not_before=look_again_at, **free)
        settled = await connection.execute(later)
    if not settled.rowcount:
        await connection.execute(update(stripe_dirty).where(_claimed(claim)).values(free))
        announce(connection, DIRTY_TOPIC)


async def put_back(connection: AsyncConnection, claim: Claim, error: str, *, not_before: int) -> None:
    """Give the claim up after a failure; the object stays marked."""
    await connection.execute(
        update(stripe_dirty)
        .where(_claimed(claim))
        .values(claim=None, lease_until=0, last_error=error, not_before=not_before)
    )


async def oldest_mark(connection: AsyncConnection, environment: str, now: float) -> tuple[int, int | None]:
    """Return how many objects wait to be read, and since when the longest waiting one does."""
    waiting = select(func.count(), func.min(_columns.not_before)).where(
        _columns.environment == environment, _columns.not_before <= int(now)
    )
    count, since = (await connection.execute(waiting)).one()
    return count, since


def _due(now: float) -> ColumnElement[bool]:
    active = select(stripe_links.c.environment).where(stripe_links.c.status == "active")
    return and_(
        _columns.not_before <= int(now),
        _columns.lease_until <= int(now),
        _columns.environment.in_(active),
    )


def _row(environment: str, ref: ObjectRef) -> ColumnElement[bool]:
    return and_(
        _columns.environment == environment, _columns.object_type == ref.type, _columns.object_id == ref.id
    )


def _claimed(claim: Claim) -> ColumnElement[bool]:
    return and_(_row(claim.environment, claim.object), _columns.claim == claim.token)
