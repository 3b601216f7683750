"""How each link stands, in the few numbers that are worth watching."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.dirty import oldest_mark
from flux_server.stripe.tables import stripe_links, stripe_outbox

__all__ = ["Figures", "read_figures", "unsent"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What waits, and for how long."""

    paused: bool
    dirty: int
    dirty_age_seconds: float
    unsent: int
    unsent_age_seconds: float


async def read_figures(connection: AsyncConnection, now: float) -> dict[str, Figures]:
    """Return the figures of each environment that is linked."""
    links = select(stripe_links.c.environment, stripe_links.c.status)
    return {
        row.environment: await _figures(connection, row.environment, row.status == "paused", now)
        for row in (await connection.execute(links)).all()
    }


async def _figures(connection: AsyncConnection, environment: str, paused: bool, now: float) -> Figures:
    dirty, since = await oldest_mark(connection, environment, now)
    waiting, first = await unsent(connection, environment)
    return Figures(
        paused=paused,
        dirty=dirty,
        dirty_age_seconds=max(0, now - since) if since is not None else 0,
        unsent=waiting,
        unsent_age_seconds=max(0, now - first) if first is not None else 0,
    )


async def unsent(connection: AsyncConnection, environment: str) -> tuple[int, int | None]:
    """Return how much usage waits to be sent, and since when the first of it does."""
    outbox = stripe_outbox.c
    pending = select(func.count(), func.min(outbox.created_at)).where(
        outbox.environment == environment, outbox.state == "pending"
    )
    count, first = (await connection.execute(pending)).one()
    return count, first
