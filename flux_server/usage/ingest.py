"""Taking in usage: for each slot the largest total that its source has sent, summed over sources in the ledger.

A total replaces a smaller one of the same source and slot, and the difference goes into the ledger in the same
transaction. So resending, reordering and sending from two places at once change nothing, and the ledger is
always the sum over sources of their largest totals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import BigInteger, Select, String, Table, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnCollection
from sqlalchemy.types import TypeEngine

from flux_middleware.errors import InvalidOrganizationError
from flux_middleware.snapshot import (
    SlotError,
    UsageBatch,
    UsageReceipt,
    UsageSlot,
    UsageStanding,
    require_organization,
)
from flux_server.catalog.reading import list_metrics
from flux_server.database import insert, rows
from flux_server.environments.revisions import advance_usage, current_revision, lock
from flux_server.errors import InvalidRequestError
from flux_server.usage.standings import Pair, Standing, current_standings
from flux_server.usage.tables import usage_buckets, usage_standings, usage_totals

__all__ = ["MAX_SLOTS", "ingest"]

MAX_SLOTS = 5_000
"""Slots that one batch may have."""

_MAX_TOTAL = 2**53 - 1  # so that the sum over a thousand sources still fits a column
_CLOCK_SKEW = 300
_SOURCE = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")

_SlotKey = tuple[str, str, int]  # organization, metric, bucket
_KEY: Final[dict[str, TypeEngine[Any]]] = {
    "organization": String(),
    "metric": String(),
    "bucket": BigInteger(),
}


async def ingest(
    connection: AsyncConnection, environment: str, batch: UsageBatch, now: float
) -> UsageReceipt:
    """Keep the batch's totals; a slot that cannot be kept is answered with an error and leaves the others alone.

    Raises:
        InvalidRequestError: the batch as a whole is malformed.
    """
    if not _SOURCE.match(batch.source):
        raise InvalidRequestError(
            f"a source is 1 to 32 of letters, digits, '-' and '_', not {batch.source!r:.50}"
        )
    if len(batch.slots) > MAX_SLOTS:
        raise InvalidRequestError(f"a batch has at most {MAX_SLOTS} slots, not {len(batch.slots)}; split it")
    metrics = {metric.key for metric in await list_metrics(connection, environment)}
    errors = tuple(_slot_errors(batch, metrics, now))
    totals = _largest_totals(batch, errors)
    standings = await _keep(connection, environment, batch.source, totals, now)
    return UsageReceipt(
        accepted=len(batch.slots) - len(errors),
        errors=errors,
        standings=tuple(
            UsageStanding(organization, metric, standing.start, standing.quantity)
            for (organization, metric), standing in standings.items()
        ),
        usage_revision=await current_revision(connection, environment, "usage"),
    )


def _slot_errors(batch: UsageBatch, metrics: set[str], now: float) -> Iterator[SlotError]:
    for index, slot in enumerate(batch.slots):
        error = _slot_error(slot, metrics, now)
        if error is not None:
            yield SlotError(index, *error)


def _slot_error(slot: UsageSlot, metrics: set[str], now: float) -> tuple[str, str] | None:
    """Return the code and the words of what is wrong with the slot."""
    if slot.metric not in metrics:
        return "unknown_metric", f"there is no metric {slot.metric!r:.100}; define it, and this slot is taken"
    if not 0 <= slot.total <= _MAX_TOTAL:
        return "invalid_total", f"a total is a whole number from 0 to 2**53 - 1, not {slot.total}"
    if slot.bucket < 0:
        return "invalid_bucket", f"a bucket is the second since 1970 that it begins at, not {slot.bucket}"
    if slot.bucket > now + _CLOCK_SKEW:
        return (
            "bucket_in_future",
            f"bucket {slot.bucket} begins after now ({int(now)}); set this host's clock",
        )
    try:
        require_organization(slot.organization)
    except InvalidOrganizationError as error:
        return "invalid_organization", str(error)
    return None


def _largest_totals(batch: UsageBatch, errors: tuple[SlotError, ...]) -> dict[_SlotKey, int]:
    refused = {error.index for error in errors}
    totals: dict[_SlotKey, int] = {}
    for index, slot in enumerate(batch.slots):
        if index not in refused:
            key = (slot.organization, slot.metric, slot.bucket)
            totals[key] = max(slot.total, totals.get(key, 0))
    return totals


async def _keep(
    connection: AsyncConnection, environment: str, source: str, totals: dict[_SlotKey, int], now: float
) -> dict[Pair, Standing]:
    """Raise totals, ledger and standings; return the standings of everything the batch mentions."""
    if not totals:
        return {}
    await lock(connection, environment, "usage")
    known = await _known_totals(connection, environment, source, list(totals))
    raised = {key: total - known.get(key, 0) for key, total in totals.items() if total > known.get(key, 0)}
    before = await current_standings(connection, environment, (key[:2] for key in totals), now)
    if not raised:
        return before
    await _raise_totals(connection, environment, source, {key: totals[key] for key in raised})
    await _raise_ledger(connection, environment, raised)
    after = _raised_standings(before, raised)
    changed = {pair: after[pair] for pair in {key[:2] for key in raised}}
    await _store_standings(connection, environment, changed)
    return after


async def _known_totals(
    connection: AsyncConnection, environment: str, source: str, keys: list[_SlotKey]
) -> dict[_SlotKey, int]:
    columns = usage_totals.c
    wanted = rows(connection, _KEY, keys)
    same = (
        (columns.environment == environment)
        & (columns.organization == wanted.c.organization)
        & (columns.metric == wanted.c.metric)
        & (columns.bucket == wanted.c.bucket)
        & (columns.source == source)
    )
    found = await connection.execute(
        select(columns.organization, columns.metric, columns.bucket, columns.total)
        # An outer join, and no condition that makes it an inner one: SQLite then begins with what is wanted, not
        # with the whole environment.
        .select_from(wanted.outerjoin(usage_totals, same))
    )
    return {
        (organization, metric, bucket): total
        for organization, metric, bucket, total in found
        if total is not None
    }


async def _raise_totals(
    connection: AsyncConnection, environment: str, source: str, totals: dict[_SlotKey, int]
) -> None:
    new = rows(connection, _KEY | {"total": BigInteger()}, [(*key, total) for key, total in totals.items()])
    values = select(
        literal(environment), new.c.organization, new.c.metric, new.c.bucket, literal(source), new.c.total
    )
    await _upsert(connection, usage_totals, values, lambda excluded: {"total": excluded.total})


async def _raise_ledger(
    connection: AsyncConnection, environment: str, differences: dict[_SlotKey, int]
) -> None:
    new = rows(connection, _KEY | {"more": BigInteger()}, [(*key, more) for key, more in differences.items()])
    values = select(literal(environment), new.c.organization, new.c.metric, new.c.bucket, new.c.more)
    await _upsert(
        connection,
        usage_buckets,
        values,
        lambda excluded: {"quantity": usage_buckets.c.quantity + excluded.quantity},
    )


def _raised_standings(before: dict[Pair, Standing], differences: dict[_SlotKey, int]) -> dict[Pair, Standing]:
    after = dict(before)
    for (organization, metric, bucket), difference in differences.items():
        standing = after[organization, metric]
        if standing.start <= bucket < standing.end:
            after[organization, metric] = Standing(
                standing.start, standing.end, standing.quantity + difference
            )
    return after


async def _store_standings(
    connection: AsyncConnection, environment: str, standings: dict[Pair, Standing]
) -> None:
    revision = await advance_usage(connection, environment)
    columns: dict[str, TypeEngine[Any]] = {
        "organization": String(),
        "metric": String(),
        "start": BigInteger(),
        "end": BigInteger(),
        "quantity": BigInteger(),
    }
    new = rows(
        connection,
        columns,
        [(*pair, standing.start, standing.end, standing.quantity) for pair, standing in standings.items()],
    ).c
    values = select(
        literal(environment),
        new.organization,
        new.metric,
        literal(revision, BigInteger()),
        new.start,
        new.end,
        new.quantity,
    )
    names = ("revision", "period_start", "period_end", "quantity")
    await _upsert(
        connection, usage_standings, values, lambda excluded: {name: excluded[name] for name in names}
    )


async def _upsert(
    connection: AsyncConnection,
    table: Table,
    values: Select[Any],
    changed: Callable[[ColumnCollection[str, Any]], dict[str, Any]],
) -> None:
    """Insert `values`, one for each column of `table`; where the key is there already, change that row."""
    # SQLite needs a WHERE to tell the upsert's ON from a join's.
    statement = insert(connection, table).from_select(list(table.c), values.where(true()))
    await connection.execute(
        statement.on_conflict_do_update(index_elements=table.primary_key, set_=changed(statement.excluded))
    )
