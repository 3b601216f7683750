"""Reading what the checks of a link look at."""

from __future__ import annotations

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.tables import features
from flux_server.stripe.checks import Case
from flux_server.stripe.connector import Connector
from flux_server.stripe.endpoint import why_unreachable
from flux_server.stripe.health import read_health
from flux_server.stripe.tables import stripe_active_entitlements

__all__ = ["read_case"]

_MOST = 50


async def read_case(connector: Connector, connection: AsyncConnection, environment: str) -> Case:
    """Return what there is to look at now.

    Raises:
        NotLinkedError: there is no link.
    """
    health = await read_health(connection, environment, connector.clock())
    url = connector.webhook_url(health.link.token)
    return Case(
        health=health,
        webhook_url=url,
        unreachable=why_unreachable(
            url, livemode=health.link.livemode, api_base=connector.settings.stripe_api_base
        ),
        strangers=await _strangers(connection, environment),
    )


async def _strangers(connection: AsyncConnection, environment: str) -> tuple[str, ...]:
    granted = stripe_active_entitlements.c
    known = and_(
        features.c.environment == granted.environment,
        features.c.key == granted.lookup_key,
        features.c.kind == "boolean",
    )
    found = await connection.execute(
        select(granted.lookup_key)
        .outerjoin(features, known)
        .where(granted.environment == environment, features.c.key.is_(None))
        .distinct()
        .order_by(granted.lookup_key)
        .limit(_MOST)
    )
    return tuple(found.scalars())
