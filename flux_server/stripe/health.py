"""How an environment's link is: everything that tells whether Flux still follows Stripe, in one reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.dirty import oldest_mark
from flux_server.stripe.figures import unsent
from flux_server.stripe.link import Link, require_link
from flux_server.stripe.outbox import count_outbox
from flux_server.stripe.reading import FailedRead, UnknownCustomer, list_failed_reads, list_unknown_customers
from flux_server.stripe.sweep_log import Sweep, list_sweeps
from flux_server.stripe.tables import stripe_events, stripe_links
from flux_server.subscriptions.reading import UnmappedPrice, list_unmapped_prices

__all__ = ["Health", "Heard", "read_health"]

_MOST = 50
_HOUR = 3_600
_DAY = 86_400
_events = stripe_events.c


@dataclass(frozen=True, slots=True)
class Heard:
    """What came from Stripe: the last webhook that was taken, how many lately, and what was refused or missed."""

    last_id: str | None
    last_type: str | None
    last_at: int | None
    hour: int
    day: int
    missed_day: int
    refused: int
    refused_at: int | None
    refused_reason: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a link at the moment `at`.

    `waiting` objects are to be read, the first since `waiting_since`; `looked_until` is up to when Stripe's own list
    of events was asked for missed ones. `sweep` is the last that began, `swept_at` when the last ended that did.
    """

    at: int
    link: Link
    heard: Heard
    waiting: int
    waiting_since: int | None
    failed: tuple[FailedRead, ...]
    looked_until: int | None
    sweep: Sweep | None
    swept_at: int | None
    outbox: Mapping[str, int]
    unsent_since: int | None
    unknown_customers: tuple[UnknownCustomer, ...]
    unmapped_prices: tuple[UnmappedPrice, ...]


async def read_health(connection: AsyncConnection, environment: str, now: float) -> Health:
    """Return how the link is now.

    Raises:
        NotLinkedError: there is none.
    """
    link = await require_link(connection, environment)
    mine = select(stripe_links).where(stripe_links.c.environment == environment)
    row = (await connection.execute(mine)).one()
    waiting, waiting_since = await oldest_mark(connection, environment, now)
    sweeps = await list_sweeps(connection, environment, limit=_MOST)
    _, unsent_since = await unsent(connection, environment)
    return Health(
        at=int(now),
        link=link,
        heard=await _heard(connection, environment, row, now),
        waiting=waiting,
        waiting_since=waiting_since,
        failed=await list_failed_reads(connection, environment, _MOST),
        looked_until=row.events_until,
        sweep=sweeps[0] if sweeps else None,
        swept_at=max((each.finished_at for each in sweeps if each.finished_at is not None), default=None),
        outbox=await count_outbox(connection, environment),
        unsent_since=unsent_since,
        unknown_customers=await list_unknown_customers(connection, environment, _MOST),
        unmapped_prices=await list_unmapped_prices(connection, environment, _MOST),
    )


async def _heard(connection: AsyncConnection, environment: str, link: Any, now: float) -> Heard:
    mine = _events.environment == environment
    last = await connection.execute(
        select(_events.id, _events.type, _events.received_at)
        .where(mine, _events.deliveries > 0)
        .order_by(_events.received_at.desc(), _events.id.desc())
        .limit(1)
    )
    name, kind, at = last.one_or_none() or (None, None, None)
    counts = select(
        func.count().filter(_events.received_at > int(now) - _HOUR),
        func.count(),
        func.count().filter(_events.deliveries == 0),
    ).where(mine, _events.received_at > int(now) - _DAY)
    hour, day, missed = (await connection.execute(counts)).one()
    return Heard(name, kind, at, hour, day, missed, link.refused, link.refused_at, link.refused_reason)
