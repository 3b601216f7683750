"""A live Stripe account lives in real time: a server whose time can be turned must not act on one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.errors import StartError
from flux_server.settings import Settings
from flux_server.stripe.tables import stripe_links

__all__ = ["require_real_time"]


async def require_real_time(connection: AsyncConnection, settings: Settings) -> None:
    """Refuse a time that is turned beside a live link.

    Raises:
        StartError: FLUX_CLOCK_URL is set, and an environment is linked to a live account.
    """
    if not settings.clock_url:
        return
    live = select(stripe_links.c.environment).where(stripe_links.c.livemode).limit(1)
    environment = (await connection.execute(live)).scalar_one_or_none()
    if environment is not None:
        raise StartError(
            f"FLUX_CLOCK_URL turns the time, and environment {environment!r} is linked to a live Stripe account, "
            "whose periods begin and end in real time; unset FLUX_CLOCK_URL, or use another database for development"
        )
