"""Objects that are read only to learn which subscription they are about: thin events name them and nothing else."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.dirty import Claim, mark
from flux_server.stripe.events import ObjectRef

__all__ = ["mark_subscriptions"]


async def mark_subscriptions(
    connection: AsyncConnection, claim: Claim, found: tuple[str, ...] | None, now: float
) -> None:
    """Have the subscriptions read that the object is about."""
    marks = (ObjectRef("subscription", subscription) for subscription in found or ())
    await mark(connection, claim.environment, marks, now)
