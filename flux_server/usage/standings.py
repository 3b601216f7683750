"""Standings: what organizations used of a metric in the period that runs now.

A standing is stored with its period and raised with each batch. It counts as long as the organization's period
is still that one; when a renewal, a new subscription or a new month has moved the period, the sum of the new
period's buckets takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.periods import usage_period
from flux_middleware.snapshot import OrganizationRecord
from flux_server.organizations.records import read_records
from flux_server.usage.tables import usage_buckets, usage_standings

__all__ = ["Pair", "Standing", "current_standings"]

Pair = tuple[str, str]
"""(organization, metric)"""

_PAIRS_A_STATEMENT = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """What was used from `start` until before `end`."""

    start: int
    end: int
    quantity: int


async def current_standings(
    connection: AsyncConnection, environment: str, pairs: Iterable[Pair], now: float
) -> dict[Pair, Standing]:
    """Return each pair's standing in the organization's period at `now`."""
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return {}
    periods = await _periods(connection, environment, {organization for organization, _ in wanted}, now)
    stored = await _stored(connection, environment, wanted)
    standings = {pair: Standing(*periods[pair[0]], 0) for pair in wanted}
    moved = []
    for pair in wanted:
        kept = stored.get(pair)
        if kept is not None and (kept.start, kept.end) == periods[pair[0]]:
            standings[pair] = kept
        else:
            moved.append(pair)
    for start in range(0, len(moved), _PAIRS_A_STATEMENT):
        some = {pair: standings[pair] for pair in moved[start : start + _PAIRS_A_STATEMENT]}
        standings.update(await _summed(connection, environment, some))
    return standings


async def _periods(
    connection: AsyncConnection, environment: str, organizations: set[str], now: float
) -> dict[str, tuple[int, int]]:
    records = await read_records(connection, environment, organizations)
    unknown = usage_period(OrganizationRecord(""), now)
    return {
        organization: usage_period(records[organization], now) if organization in records else unknown
        for organization in organizations
    }


async def _stored(connection: AsyncConnection, environment: str, pairs: list[Pair]) -> dict[Pair, Standing]:
    columns = usage_standings.c
    rows = await connection.execute(
        select(
            columns.organization, columns.metric, columns.period_start, columns.period_end, columns.quantity
        )
        .where(columns.environment == environment)
        .where(tuple_(columns.organization, columns.metric).in_(pairs))
    )
    return {
        (organization, metric): Standing(start, end, quantity)
        for organization, metric, start, end, quantity in rows
    }


async def _summed(
    connection: AsyncConnection, environment: str, standings: dict[Pair, Standing]
) -> dict[Pair, Standing]:
    """Sum up the buckets of each standing's own period."""
    columns = usage_buckets.c
    rows = await connection.execute(
        select(columns.organization, columns.metric, func.sum(columns.quantity))
        .where(
            columns.environment == environment,
            or_(
                *(
                    and_(
                        columns.organization == organization,
                        columns.metric == metric,
                        columns.bucket >= standing.start,
                        columns.bucket < standing.end,
                    )
                    for (organization, metric), standing in standings.items()
                )
            ),
        )
        .group_by(columns.organization, columns.metric)
    )
    return {
        (organization, metric): Standing(
            standings[organization, metric].start, standings[organization, metric].end, int(quantity)
        )
        for organization, metric, quantity in rows
    }
