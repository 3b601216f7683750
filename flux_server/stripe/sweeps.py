"""Sweeps: readings of all of an account's subscriptions, page by page, each with its progress and its report.

A sweep is a row. Whoever claims it reads a page, saves it together with how far the sweep is, and renews the claim;
one that dies is followed by another, from the page where it stopped.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import announce
from flux_server.errors import NotFoundError
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.tables import stripe_drift, stripe_links, stripe_subscriptions, stripe_sweeps

__all__ = [
    "SWEEPS_TOPIC",
    "Sweep",
    "SweepClaim",
    "claim_sweep",
    "count_drift",
    "end_sweep",
    "holds_sweep",
    "is_sweeping",
    "last_sweep",
    "list_sweeps",
    "move_on",
    "next_unfinished",
    "prune_sweeps",
    "put_sweep_back",
    "read_sweep",
    "start_sweep",
    "unseen",
    "was_swept",
]

SWEEPS_TOPIC: Final = "stripe-sweeps"

_columns = stripe_sweeps.c


@dataclass(frozen=True, slots=True)
class Sweep:
    """One reading of all subscriptions. `error` says why it does not go on now, or, once it is over, why it failed."""

    id: str
    environment: str
    reason: str
    started_at: int
    finished_at: int | None
    seen: int
    drifted: int
    error: str | None

    @property
    def status(self) -> str:
        """Return how it is with it: running, done or failed."""
        if self.finished_at is None:
            return "running"
        return "done" if self.error is None else "failed"


@dataclass(frozen=True, slots=True)
class SweepClaim:
    """The right to go on with a sweep, and how far it is."""

    environment: str
    sweep: str
    reason: str
    token: str
    after: str | None
    listed: bool
    read: int | None
    attempts: int


async def start_sweep(connection: AsyncConnection, environment: str, reason: str, now: float) -> Sweep:
    """Have all subscriptions read as they are from now on; a sweep that has not begun yet will do.

    `reason`: linked, nightly, asked, resumed, many-dirty or lost-events. A link ends the sweeps of the one before.
    """
    waiting = _unfinished(environment)
    linked_at = select(stripe_links.c.created_at).where(stripe_links.c.environment == environment)
    before = and_(waiting, _columns.started_at < linked_at.scalar_subquery())
    over = {"finished_at": int(now), "claim": None, "error": "the environment was linked anew"}
    await connection.execute(update(stripe_sweeps).where(before).values(over))
    announce(connection, SWEEPS_TOPIC)
    unbegun = select(stripe_sweeps).where(waiting, _columns.read.is_(None)).limit(1)
    row = (await connection.execute(unbegun)).one_or_none()
    if row is not None:
        return _sweep(row)
    sweep = f"{int(now * 1000):012x}{uuid.uuid4().hex[12:]}"  # in order also within a second
    new = {"environment": environment, "id": sweep, "reason": reason, "started_at": int(now)}
    await connection.execute(stripe_sweeps.insert().values(new | {"seen": 0, "drifted": 0}))
    return await read_sweep(connection, environment, sweep)


async def read_sweep(connection: AsyncConnection, environment: str, sweep: str) -> Sweep:
    """Return the sweep.

    Raises:
        NotFoundError: there is none with this id.
    """
    mine = and_(_columns.environment == environment, _columns.id == sweep)
    row = (await connection.execute(select(stripe_sweeps).where(mine))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no sweep {sweep!r:.80}; GET /v1/stripe/sweeps lists them")
    return _sweep(row)


async def list_sweeps(
    connection: AsyncConnection, environment: str, *, before: tuple[int, str] | None = None, limit: int = 50
) -> tuple[Sweep, ...]:
    """Return the sweeps, newest first, from before that (start, id) on."""
    query = select(stripe_sweeps).where(_columns.environment == environment)
    if before is not None:
        moment, name = before
        earlier = or_(_columns.started_at < moment, and_(_columns.started_at == moment, _columns.id < name))
        query = query.where(earlier)
    found = await connection.execute(
        query.order_by(_columns.started_at.desc(), _columns.id.desc()).limit(limit)
    )
    return tuple(_sweep(row) for row in found)


async def last_sweep(
    connection: AsyncConnection, environment: str, reason: str | None = None
) -> Sweep | None:
    """Return the newest sweep, for this reason if one is given, finished or not; None if there was none."""
    query = select(stripe_sweeps).where(_columns.environment == environment)
    if reason is not None:
        query = query.where(_columns.reason == reason)
    newest = query.order_by(_columns.started_at.desc(), _columns.id.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    return None if row is None else _sweep(row)


async def was_swept(connection: AsyncConnection, environment: str) -> bool:
    """Answer whether a sweep has gone through all subscriptions since the environment was linked."""
    linked_at = select(stripe_links.c.created_at).where(stripe_links.c.environment == environment)
    done = and_(
        _columns.environment == environment,
        _columns.finished_at.is_not(None),
        _columns.error.is_(None),
        _columns.started_at >= linked_at.scalar_subquery(),
    )
    return (await connection.execute(select(_columns.id).where(done).limit(1))).one_or_none() is not None


async def count_drift(connection: AsyncConnection, environment: str, *, since: float) -> int:
    """Return how much drift the sweeps found that were started since then."""
    mine = and_(_columns.environment == environment, _columns.started_at >= int(since))
    total = select(func.coalesce(func.sum(_columns.drifted), 0)).where(mine)
    return int((await connection.execute(total)).scalar_one())


async def is_sweeping(connection: AsyncConnection, environment: str) -> bool:
    """Answer whether a sweep is under way, or about to be; not one that failed and waits."""
    going = select(_columns.id).where(_unfinished(environment), _columns.attempts == 0).limit(1)
    return (await connection.execute(going)).one_or_none() is not None


async def next_unfinished(connection: AsyncConnection, now: float) -> tuple[float | None, bool]:
    """Return when a sweep can be gone on with (None: there is none), and whether that is now."""
    active = select(stripe_links.c.environment).where(stripe_links.c.status == "active")
    first = select(func.min(_columns.lease_until)).where(
        _columns.finished_at.is_(None), _columns.environment.in_(active)
    )
    moment = (await connection.execute(first)).scalar_one_or_none()
    return moment, moment is not None and moment <= now


async def claim_sweep(connection: AsyncConnection, now: float) -> SweepClaim | None:
    """Claim the oldest unfinished sweep of an environment in which nobody sweeps now."""
    active = select(stripe_links.c.environment).where(stripe_links.c.status == "active")
    other = stripe_sweeps.alias()
    busy = select(other.c.environment).where(other.c.finished_at.is_(None), other.c.lease_until > int(now))
    row = (
        await connection.execute(
            select(stripe_sweeps)
            .where(
                _columns.finished_at.is_(None),
                _columns.environment.in_(active),
                _columns.environment.not_in(busy),
            )
            .order_by(_columns.started_at, _columns.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()
    if row is None:
        return None
    token = uuid.uuid4().hex
    mine = and_(_columns.environment == row.environment, _columns.id == row.id)
    await connection.execute(
        update(stripe_sweeps).where(mine).values(claim=token, lease_until=int(now) + LEASE)
    )
    return SweepClaim(
        row.environment, row.id, row.reason, token, row.after, row.listed, row.read, row.attempts
    )


async def holds_sweep(connection: AsyncConnection, claim: SweepClaim, now: float) -> bool:
    """Renew the claim; answer whether it was still held. If so, it stays so until the transaction's end."""
    renewed = update(stripe_sweeps).where(_claimed(claim)).values(lease_until=int(now) + LEASE)
    return bool((await connection.execute(renewed)).rowcount)


async def move_on(
    connection: AsyncConnection, claim: SweepClaim, *, seen: int, drifted: int, **values: Any
) -> None:
    """Note how far the claim's holder got."""
    counted = {"seen": _columns.seen + seen, "drifted": _columns.drifted + drifted}
    gone_on = counted | {"attempts": 0, "error": None} | values
    await connection.execute(update(stripe_sweeps).where(_claimed(claim)).values(gone_on))


async def end_sweep(
    connection: AsyncConnection, claim: SweepClaim, now: float, error: str | None = None
) -> None:
    """Note that the sweep is over."""
    over = {"finished_at": int(now), "claim": None, "lease_until": 0, "error": error}
    await connection.execute(update(stripe_sweeps).where(_claimed(claim)).values(over))
    announce(connection, SWEEPS_TOPIC)  # another may wait for this one's end


async def put_sweep_back(
    connection: AsyncConnection, claim: SweepClaim, error: str, *, not_before: int
) -> None:
    """Give the claim up after a failure; somebody goes on from where it stopped, later."""
    await connection.execute(
        update(stripe_sweeps)
        .where(_claimed(claim))
        .values(claim=None, lease_until=not_before, attempts=_columns.attempts + 1, error=error)
    )


async def unseen(connection: AsyncConnection, environment: str, read: int, limit: int) -> tuple[str, ...]:
    """Return subscriptions that no read since this number has seen."""
    columns = stripe_subscriptions.c
    found = await connection.execute(
        select(columns.id)
        .where(columns.environment == environment, columns.read < read)
        .order_by(columns.id)
        .limit(limit)
    )
    return tuple(found.scalars())


async def prune_sweeps(connection: AsyncConnection, *, before: float) -> None:
    """Forget the sweeps that began before then, with their reports."""
    old = and_(_columns.started_at < int(before), _columns.finished_at.is_not(None))
    reports = and_(
        stripe_drift.c.environment == _columns.environment, stripe_drift.c.sweep == _columns.id, old
    )
    await connection.execute(delete(stripe_drift).where(select(_columns.id).where(reports).exists()))
    await connection.execute(delete(stripe_sweeps).where(old))


def _unfinished(environment: str) -> ColumnElement[bool]:
    return and_(_columns.environment == environment, _columns.finished_at.is_(None))


def _claimed(claim: SweepClaim) -> ColumnElement[bool]:
    return and_(
        _columns.environment == claim.environment, _columns.id == claim.sweep, _columns.claim == claim.token
    )


def _sweep(row: Row[Any]) -> Sweep:
    return Sweep(
        id=row.id,
        environment=row.environment,
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
        seen=row.seen,
        drifted=row.drifted,
        error=row.error,
    )
