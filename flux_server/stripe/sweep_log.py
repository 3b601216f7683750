"""What sweeps found: each reading of all subscriptions, and where Flux had believed something else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.errors import NotFoundError
from flux_server.stripe.tables import stripe_drift, stripe_sweeps

__all__ = ["Difference", "Drift", "Sweep", "list_drift", "list_sweeps", "read_sweep"]

_sweeps = stripe_sweeps.c
_drift = stripe_drift.c


@dataclass(frozen=True, slots=True)
class Sweep:
    """A reading of all subscriptions; without `finished_at` it is under way, or waits to be tried again."""

    id: str
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
class Difference:
    """A field of which Flux believed `before`, and Stripe says `after`."""

    field: str
    before: str | int | bool | None
    after: str | int | bool | None


@dataclass(frozen=True, slots=True)
class Drift:
    """An object that differed, since some moment after `since`, and how it was repaired: saved, ended or added."""

    object_type: str
    object_id: str
    organization: str | None
    differences: tuple[Difference, ...]
    since: int | None
    found_at: int
    repair: str


async def list_sweeps(
    connection: AsyncConnection, environment: str, *, before: tuple[int, str] | None = None, limit: int
) -> tuple[Sweep, ...]:
    """Return the sweeps, newest first, `before` the start and the id that the page before ended with."""
    wanted = [_sweeps.environment == environment]
    if before is not None:
        wanted.append(tuple_(_sweeps.started_at, _sweeps.id) < before)
    rows = await connection.execute(
        select(stripe_sweeps)
        .where(*wanted)
        .order_by(_sweeps.started_at.desc(), _sweeps.id.desc())
        .limit(limit)
    )
    return tuple(_sweep(row) for row in rows)


async def read_sweep(connection: AsyncConnection, environment: str, sweep: str) -> Sweep:
    """Return the sweep.

    Raises:
        NotFoundError: there is none of this id.
    """
    mine = (_sweeps.environment == environment) & (_sweeps.id == sweep)
    row = (await connection.execute(select(stripe_sweeps).where(mine))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no sweep {sweep!r:.100}")
    return _sweep(row)


async def list_drift(
    connection: AsyncConnection,
    environment: str,
    sweep: str,
    *,
    after: tuple[str, str] = ("", ""),
    limit: int,
) -> tuple[Drift, ...]:
    """Return what a sweep found to differ, by type and id of the object, `after` those of the page before."""
    place = tuple_(_drift.object_type, _drift.object_id)
    rows = await connection.execute(
        select(stripe_drift)
        .where(_drift.environment == environment, _drift.sweep == sweep, place > after)
        .order_by(_drift.object_type, _drift.object_id)
        .limit(limit)
    )
    return tuple(
        Drift(
            row.object_type,
            row.object_id,
            row.organization,
            tuple(Difference(*each) for each in json.loads(row.differences)),
            row.since,
            row.found_at,
            row.repair,
        )
        for row in rows
    )


def _sweep(row: Row[Any]) -> Sweep:
    return Sweep(row.id, row.reason, row.started_at, row.finished_at, row.seen, row.drifted, row.error)
