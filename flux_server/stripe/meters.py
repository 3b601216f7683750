"""Meters: what Stripe adds up, and how an event for one is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert
from flux_server.stripe.planning import plan_again
from flux_server.stripe.shapes import StripeMeter
from flux_server.stripe.tables import stripe_meters

__all__ = ["save_meter", "unknown_meters"]


async def save_meter(connection: AsyncConnection, environment: str, meter: StripeMeter) -> None:
    """Store the meter; usage that waited for it is forwarded."""
    values = asdict(meter)
    del values["id"]
    await connection.execute(
        insert(connection, stripe_meters)
        .values(environment=environment, id=meter.id, **values)
        .on_conflict_do_update(index_elements=stripe_meters.primary_key, set_=values)
    )
    await plan_again(connection, environment)


async def unknown_meters(connection: AsyncConnection, environment: str, meters: Iterable[str]) -> set[str]:
    """Return those of the meters that were never read."""
    wanted = set(meters)
    known = select(stripe_meters.c.id).where(
        stripe_meters.c.environment == environment, stripe_meters.c.id.in_(wanted)
    )
    return wanted - set((await connection.execute(known)).scalars())
