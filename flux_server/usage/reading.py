"""Reading usage: standings of the running period, what changed since, and the ledger's buckets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import UsageStanding, UsageUpdate
from flux_server.usage.standings import Pair, current_standings
from flux_server.usage.tables import usage_buckets, usage_standings

__all__ = [
    "UsageBucket",
    "read_buckets",
    "read_standing",
    "standings_of",
    "standings_since",
]


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """What an organization used of a metric from the second `start` on, until the next bucket."""

    start: int
    quantity: int


async def read_standing(
    connection: AsyncConnection, environment: str, organization: str, metric: str, now: float
) -> UsageStanding:
    """Return what the organization used of the metric in its current period."""
    (standing,) = await _standings(connection, environment, [(organization, metric)], now)
    return standing


async def standings_of(
    connection: AsyncConnection, environment: str, organizations: Iterable[str], now: float
) -> tuple[UsageStanding, ...]:
    """Return the organizations' standings of every metric that they ever used."""
    columns = usage_standings.c
    rows = await connection.execute(
        select(columns.organization, columns.metric)
        .where(columns.environment == environment, columns.organization.in_(list(organizations)))
        .order_by(columns.organization, columns.metric)
    )
    return await _standings(connection, environment, [(row.organization, row.metric) for row in rows], now)


async def standings_since(
    connection: AsyncConnection, environment: str, usage_revision: int, now: float, limit: int
) -> UsageUpdate | None:
    """Return the standings that changed after `usage_revision`, oldest change first; None if there are none.

    What changed at one revision stays together, so there can be more than `limit`; call again from the answer's
    `usage_revision` on for the rest.
    """
    columns = usage_standings.c
    newer = (columns.environment == environment) & (columns.revision > usage_revision)
    page = select(columns.revision).where(newer).order_by(columns.revision).limit(limit)
    revisions = (await connection.execute(page)).scalars().all()
    if not revisions:
        return None
    rows = await connection.execute(
        select(columns.organization, columns.metric)
        .where(newer, columns.revision <= revisions[-1])
        .order_by(columns.revision, columns.organization, columns.metric)
    )
    pairs = [(row.organization, row.metric) for row in rows]
    return UsageUpdate(revisions[-1], await _standings(connection, environment, pairs, now))


async def read_buckets(
    connection: AsyncConnection, environment: str, organization: str, metric: str, *, start: int, end: int
) -> tuple[UsageBucket, ...]:
    """Return the ledger's buckets that begin in [`start`, `end`), in the order of time."""
    columns = usage_buckets.c
    rows = await connection.execute(
        select(columns.bucket, columns.quantity)
        .where(
            columns.environment == environment,
            columns.organization == organization,
            columns.metric == metric,
            columns.bucket >= start,
            columns.bucket < end,
        )
        .order_by(columns.bucket)
    )
    return tuple(UsageBucket(row.bucket, row.quantity) for row in rows)


async def _standings(
    connection: AsyncConnection, environment: str, pairs: list[Pair], now: float
) -> tuple[UsageStanding, ...]:
    standings = await current_standings(connection, environment, pairs, now)
    return tuple(
        UsageStanding(organization, metric, standing.start, standing.quantity)
        for (organization, metric), standing in standings.items()
    )
