"""Objects that must be read from Stripe again: marked, claimed by one reader at a time, cleared when read.

A mark raises the object's version. Whoever reads the object remembers the version from before, and the mark is
cleared only if it is still the same: what was marked meanwhile is read once more. A claim that was not settled in
time (its process died) passes to the next claimant, and the late one finds another claim in the row and gives up
before writing anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import announce, insert, one_of
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.tables import stripe_dirty, stripe_links

__all__ = [
    "ALL_SUBSCRIPTIONS",
    "DIRTY_TOPIC",
    "Claim",
    "DueKind",
    "claim_due",
    "due_kinds",
    "holds",
    "look_again",
    "mark",
    "marked_versions",
    "number_reads",
    "oldest_mark",
    "oldest_marks",
    "put_back",
    "settle",
]

DIRTY_TOPIC = "stripe-dirty"
ALL_SUBSCRIPTIONS: Final = ObjectRef("subscriptions", "all")
"""Mark this to have a sweep read every subscription of the account again, those that ended included."""

_columns = stripe_dirty.c


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to read an object and to save what was found; `read` is the number of that reading."""

    environment: str
    object: ObjectRef
    version: int
    token: str
    attempts: int
    read: int = 0


@dataclass(frozen=True, slots=True)
class DueKind:
    """How many objects of a type can be claimed in an environment."""

    environment: str
    type: str
    count: int


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


async def due_kinds(connection: AsyncConnection, now: float) -> tuple[DueKind, ...]:
    """Return of what kinds something can be claimed, and how much."""
    kind = (_columns.environment, _columns.object_type)
    found = await connection.execute(
        select(*kind, func.count().label("number")).where(_due(now)).group_by(*kind).order_by(*kind)
    )
    return tuple(DueKind(row.environment, row.object_type, row.number) for row in found)


async def number_reads(connection: AsyncConnection, environment: str, count: int) -> int:
    """Take so many numbers for reads that begin after this transaction; return the first.

    A reading that began later has the higher number, so it has seen whatever one with a lower number has.
    """
    mine = stripe_links.c.environment == environment
    taken = (
        update(stripe_links)
        .where(mine)
        .values(reads=stripe_links.c.reads + count)
        .returning(stripe_links.c.reads)
    )
    last = (await connection.execute(taken)).scalar_one_or_none()
    return 0 if last is None else int(last) - count + 1


async def claim_due(
    connection: AsyncConnection, environment: str, object_type: str, now: float, limit: int
) -> tuple[Claim, ...]:
    """Claim up to `limit` objects of a type whose time has come, the longest waiting first."""
    # First of all: whoever marks while it holds the link's row must not wait for one who waits for that row.
    first = await number_reads(connection, environment, limit)
    rows = await connection.execute(
        select(stripe_dirty)
        .where(_due(now), _columns.environment == environment, _columns.object_type == object_type)
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
            read=first + place,
        )
        for place, row in enumerate(rows)
    )
    if claims:
        await connection.execute(
            update(stripe_dirty)
            .where(
                _columns.environment == environment,
                _columns.object_type == object_type,
                _columns.object_id == bindparam("which"),
            )
            .values(claim=bindparam("token"), lease_until=int(now) + LEASE, attempts=_columns.attempts + 1),
            [{"which": claim.object.id, "token": claim.token} for claim in claims],
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


async def marked_versions(
    connection: AsyncConnection, environment: str, object_type: str, now: float
) -> dict[str, int]:
    """Return the versions of all marks of the type, by the object's id: those that wait, and those being read."""
    mine = and_(_columns.environment == environment, _columns.object_type == object_type, _marked(now))
    found = await connection.execute(select(_columns.object_id, _columns.version).where(mine))
    return {row.object_id: row.version for row in found}


async def look_again(
    connection: AsyncConnection,
    environment: str,
    object_type: str,
    moments: Mapping[str, int | None],
    versions: Mapping[str, int],
    now: float,
) -> frozenset[str]:
    """Have each object, which was just read without a claim, read again at its moment; None: never.

    `versions` are those of the marks from before that reading: a mark that was renewed since stays.

    Returns:
        Which of the objects were marked.
    """
    mine = and_(_columns.environment == environment, _columns.object_type == object_type)
    found = await connection.execute(
        select(_columns.object_id, _columns.version, _columns.not_before, _marked(now).label("marked"))
        .where(mine, _columns.object_id.in_(one_of(connection, moments)))
        .order_by(_columns.object_id)
        .with_for_update()
    )
    before = {row.object_id: row for row in found}
    kept = {
        name
        for name, row in before.items()
        if row.marked and row.version != versions.get(name, row.version - 1)
    }
    over = [name for name in before if name not in kept and moments[name] is None]
    if over:
        await connection.execute(delete(stripe_dirty).where(mine, _columns.object_id.in_(over)))
    free = {"claim": None, "lease_until": 0, "attempts": 0, "last_error": None}
    later = [
        {"environment": environment, "object_type": object_type, "object_id": name, "version": 1, **free}
        | {"not_before": moment}
        for name, moment in sorted(moments.items())
        if moment is not None and name not in kept and not _waits_until(before.get(name), moment)
    ]
    if later:
        statement = insert(connection, stripe_dirty)
        new = {name: statement.excluded[name] for name in ("not_before", *free)}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=stripe_dirty.primary_key, set_=new), later
        )
    return frozenset(name for name, row in before.items() if row.marked)


def _waits_until(row: Row[Any] | None, moment: int) -> bool:
    return row is not None and not row.marked and row.not_before == moment


async def oldest_mark(connection: AsyncConnection, environment: str, now: float) -> tuple[int, int | None]:
    """Return how many objects wait to be read, and since when the longest waiting one does."""
    return (await oldest_marks(connection, now)).get(environment, (0, None))


async def oldest_marks(connection: AsyncConnection, now: float) -> dict[str, tuple[int, int]]:
    """Return, by the environment, how many objects wait to be read, and since when the longest waiting one does."""
    waiting = (
        select(
            _columns.environment, func.count().label("number"), func.min(_columns.not_before).label("since")
        )
        .where(_columns.not_before <= int(now))
        .group_by(_columns.environment)
    )
    return {row.environment: (row.number, row.since) for row in await connection.execute(waiting)}


def _marked(now: float) -> ColumnElement[bool]:
    """Tell a mark from a look that is planned for later; what failed and waits to be tried again is marked too."""
    return or_(_columns.not_before <= int(now), _columns.attempts > 0)


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
