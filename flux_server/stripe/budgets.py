"""How fast each part of Stripe's API may be asked, by all processes together.

Stripe takes so many calls a second for each part of its API ("endpoint": subscriptions, customers, …). Here each
call has a turn, and the database holds when the next one is free: whoever is about to make calls reserves their
turns in one row, several at once, and makes each when it comes. What Stripe refuses because there were too many
(429) moves the next turn away for everybody, and makes turns rarer for a while.

Turns are in real time, whatever clock the rest of the server goes by: it is Stripe's that counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert
from flux_server.stripe.tables import stripe_budgets

__all__ = ["AT_REST", "Turns", "endpoint_of", "hold_back", "reserve"]

AT_REST: Final = 50
"""Milliseconds between two calls when all is well: 20 a second, of the 25 that Stripe takes."""

_SLOWEST = 1_600
_RECOVERY = 0.9  # what is left of the excess after each reservation
_FARTHEST = 3_600_000  # a turn further away than this is another clock's mistake


@dataclass(frozen=True, slots=True)
class Turns:
    """Reserved turns: the first at `first` (milliseconds since the epoch), the others `apart` from each other.

    Where `count` is 0, nothing is free soon enough; `first` says when something will be.
    """

    first: int
    count: int
    apart: int

    def moment(self, number: int) -> float:
        """Return when the turn comes, in seconds since the epoch."""
        return (self.first + number * self.apart) / 1000


def endpoint_of(object_type: str) -> str:
    """Return which part of Stripe's API answers for objects of a type."""
    return f"{object_type}s"


async def reserve(
    connection: AsyncConnection, environment: str, endpoint: str, wanted: int, *, pace: float, within: float
) -> Turns:
    """Reserve up to `wanted` turns of those that come within so many seconds from `pace`, the present."""
    now = int(pace * 1000)
    row = await _row(connection, environment, endpoint)
    apart = max(AT_REST, row.apart)
    free_at = now if row.free_at > now + _FARTHEST else max(row.free_at, now)
    soon = now + int(within * 1000)
    count = 0 if free_at > soon else min(wanted, 1 + (soon - free_at) // apart)
    if count:
        # Recovers with use, not with time: silence proves nothing.
        rested = AT_REST + int((apart - AT_REST) * _RECOVERY**count)
        await _store(connection, environment, endpoint, free_at=free_at + count * apart, apart=rested)
    return Turns(free_at, count, apart)


async def hold_back(
    connection: AsyncConnection, environment: str, endpoint: str, seconds: float, *, pace: float
) -> None:
    """Let nobody ask the endpoint for so long, and more slowly afterwards: Stripe says that it was too much."""
    now = int(pace * 1000)
    until = now + int(seconds * 1000)
    row = await _row(connection, environment, endpoint)
    if row.free_at >= until - AT_REST:
        return  # another call of the same burst has said so already
    slower = min(_SLOWEST, max(AT_REST, row.apart) * 2)
    await _store(connection, environment, endpoint, free_at=until, apart=slower)


async def _row(connection: AsyncConnection, environment: str, endpoint: str) -> Row[Any]:
    """Return the endpoint's row, which nobody else reads or changes until the transaction's end."""
    mine = select(stripe_budgets).where(_one(environment, endpoint)).with_for_update()
    row = (await connection.execute(mine)).one_or_none()
    if row is None:  # a row that is not there cannot be locked: two who came first would take the same turn
        await connection.execute(
            insert(connection, stripe_budgets)
            .values(environment=environment, endpoint=endpoint, free_at=0, apart=AT_REST)
            .on_conflict_do_nothing()
        )
        row = (await connection.execute(mine)).one()
    return row


async def _store(
    connection: AsyncConnection, environment: str, endpoint: str, *, free_at: int, apart: int
) -> None:
    changed = update(stripe_budgets).where(_one(environment, endpoint))
    await connection.execute(changed.values(free_at=free_at, apart=apart))


def _one(environment: str, endpoint: str) -> ColumnElement[bool]:
    return and_(stripe_budgets.c.environment == environment, stripe_budgets.c.endpoint == endpoint)
