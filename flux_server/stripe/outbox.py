"""The outbox: rows that carry usage to Stripe, each claimed, sent and settled, however often a sender dies.

Before an attempt, the row says that it may have been counted since now; only an answer takes that back. Of one
customer and meter only one row is under way at a time, the oldest first.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.outcomes import RESEND_WITHIN, Outcome, Verdict
from flux_server.stripe.pacing import LEASE, retry_delay
from flux_server.stripe.tables import stripe_links, stripe_outbox

__all__ = ["Delivery", "claim_deliveries", "count_outbox", "due_environments", "record_outcome"]

_columns = stripe_outbox.c
_log = structlog.get_logger("flux.stripe")
_STATES = {Verdict.SENT: "sent", Verdict.AMBIGUOUS: "ambiguous", Verdict.DEAD: "dead"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to send a row; `unanswered_since` is what was known before it."""

    environment: str
    identifier: str
    sink: str
    event_name: str
    payload: Mapping[str, str]
    timestamp: int
    attempt: int
    claim: str
    unanswered_since: int | None

    @property
    def attempt_key(self) -> str:
        """Return a key that no other attempt has: under one key, Stripe would repeat its first answer."""
        return f"{self.identifier}.{self.attempt}"


async def due_environments(connection: AsyncConnection, now: float) -> tuple[str, ...]:
    """Return the environments that have something to send."""
    found = await connection.execute(
        select(_columns.environment).where(_due(now), _columns.environment.in_(_sending())).distinct()
    )
    return tuple(found.scalars())


async def claim_deliveries(
    connection: AsyncConnection, environment: str, now: float, limit: int
) -> tuple[Delivery, ...]:
    """Claim up to `limit` rows to send, no two of them for one customer and meter."""
    # Claims of an environment follow one another, so each sees which customers and meters are busy.
    link = _sending().where(stripe_links.c.environment == environment).with_for_update()
    if (await connection.execute(link)).one_or_none() is None:
        return ()
    await _give_up_doubtful(connection, environment, now)
    found = await connection.execute(
        select(stripe_outbox)
        .where(_columns.environment == environment, _due(now), ~_must_wait(now))
        .order_by(_columns.not_before)
        .limit(limit)
    )
    deliveries = tuple(_delivery(row) for row in found)
    for delivery in deliveries:
        await connection.execute(
            update(stripe_outbox)
            .where(_columns.identifier == delivery.identifier)
            .values(
                claim=delivery.claim,
                lease_until=int(now) + LEASE,
                attempts=delivery.attempt,
                unanswered_since=func.coalesce(_columns.unanswered_since, int(now)),
            )
        )
    return deliveries


async def record_outcome(
    connection: AsyncConnection, delivery: Delivery, outcome: Outcome, *, now: float, chance: float
) -> None:
    """Settle the row, or put it back for another attempt; nothing if its claim has passed to somebody else."""
    values: dict[str, Any] = {"claim": None, "lease_until": 0, "error": outcome.error}
    if not outcome.unanswered:
        values["unanswered_since"] = delivery.unanswered_since
    state = _STATES.get(outcome.verdict)
    if state is not None:
        values |= {"state": state, "settled_at": int(now)}
    elif outcome.verdict is Verdict.RETRY:
        delay = retry_delay(delivery.attempt, chance, at_least=outcome.retry_after)
        values["not_before"] = int(now) + delay
    await connection.execute(
        update(stripe_outbox)
        .where(_columns.identifier == delivery.identifier, _columns.claim == delivery.claim)
        .values(values)
    )


async def count_outbox(connection: AsyncConnection, environment: str) -> dict[str, int]:
    """Return how many rows are in each state."""
    counts = (
        select(_columns.state, func.count())
        .where(_columns.environment == environment)
        .group_by(_columns.state)
    )
    return {row.state: row[1] for row in await connection.execute(counts)}


async def _give_up_doubtful(connection: AsyncConnection, environment: str, now: float) -> None:
    """Take out what Stripe may have counted longer ago than it remembers identifiers."""
    doubtful = await connection.execute(
        update(stripe_outbox)
        .where(
            _columns.environment == environment,
            _columns.state == "pending",
            _columns.lease_until <= int(now),
            _columns.unanswered_since <= int(now) - RESEND_WITHIN,
        )
        .values(state="ambiguous", settled_at=int(now))
    )
    if doubtful.rowcount:
        _log.error("usage may not have been billed", environment=environment, rows=doubtful.rowcount)


def _sending() -> Any:
    return select(stripe_links.c.environment).where(
        stripe_links.c.status == "active", stripe_links.c.forwarding_paused.is_(None)
    )


def _due(now: float) -> ColumnElement[bool]:
    return and_(
        _columns.state == "pending", _columns.not_before <= int(now), _columns.lease_until <= int(now)
    )


def _must_wait(now: float) -> ColumnElement[bool]:
    """Is another row of the same customer and meter under way, or its turn first?"""
    other = stripe_outbox.alias("other")
    place = (_columns.bucket, _columns.revision, _columns.identifier)
    return exists().where(
        other.c.environment == _columns.environment,
        other.c.customer == _columns.customer,
        other.c.meter == _columns.meter,
        other.c.state == "pending",
        or_(
            other.c.lease_until > int(now),
            tuple_(other.c.bucket, other.c.revision, other.c.identifier) < tuple_(*place),
        ),
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        environment=row.environment,
        identifier=row.identifier,
        sink=row.sink,
        event_name=row.event_name,
        payload=msgspec.json.decode(row.payload, type=dict[str, str]),
        timestamp=row.timestamp,
        attempt=row.attempts + 1,
        claim=uuid.uuid4().hex,
        unanswered_since=row.unanswered_since,
    )
