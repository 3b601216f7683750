"""Standings: what organizations used of a metric in the period that runs now.

A standing is stored with its period and raised with each batch. It counts as long as the organization's period
is still that one; when a renewal, a new subscription or a new month has moved the period, the sum of the new
period's buckets takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, String, Subquery, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.periods import usage_period
from flux_middleware.snapshot import OrganizationRecord
from flux_server.database import rows
from flux_server.organizations.records import read_records
from flux_server.usage.tables import usage_buckets, usage_standings

__all__ = ["Pair", "Standing", "current_standings"]

Pair = tuple[str, str]
"""(organization, metric)"""


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
    if moved:
        standings |= await _summed(connection, environment, {pair: standings[pair] for pair in moved})
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
    wanted = rows(connection, {"organization": String(), "metric": String()}, pairs)
    found = await connection.execute(
        select(
            columns.organization, columns.metric, columns.period_start, columns.period_end, columns.quantity
        )
        # An outer join, and no condition that makes it an inner one: SQLite then begins with what is wanted, not
        # with the whole environment.
        .select_from(wanted.outerjoin(usage_standings, _same_pair(usage_standings, environment, wanted)))
    )
    return {
        (organization, metric): Standing(start, end, quantity)
        for organization, metric, start, end, quantity in found
        if quantity is not None
    }


async def _summed(
    connection: AsyncConnection, environment: str, standings: dict[Pair, Standing]
) -> dict[Pair, Standing]:
    """Sum up the buckets of each standing's own period."""
    wanted = rows(
        connection,
        {"organization": String(), "metric": String(), "start": BigInteger(), "end": BigInteger()},
        [(*pair, standing.start, standing.end) for pair, standing in standings.items()],
    )
    in_period = (usage_buckets.c.bucket >= wanted.c.start) & (usage_buckets.c.bucket < wanted.c.end)
    found = await connection.execute(
        select(wanted.c.organization, wanted.c.metric, func.coalesce(func.sum(usage_buckets.c.quantity), 0))
        .select_from(
            wanted.outerjoin(usage_buckets, _same_pair(usage_buckets, environment, wanted) & in_period)
        )
        .group_by(wanted.c.organization, wanted.c.metric)
    )
    quantities = {(organization, metric): int(quantity) for organization, metric, quantity in found}
    return {
        pair: Standing(standing.start, standing.end, quantities[pair]) for pair, standing in standings.items()
    }


def _same_pair(table: Table, environment: str, wanted: Subquery) -> ColumnElement[bool]:
    return (
        (table.c.environment == environment)
        & (table.c.organization == wanted.c.organization)
        & (table.c.metric == wanted.c.metric)
    )
