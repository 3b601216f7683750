"""What an edit of the catalog means for organizations."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.organizations.records import refresh_record
from flux_server.subscriptions.subscriptions import match_items

__all__ = ["apply_prices"]


async def apply_prices(connection: AsyncConnection, environment: str, plan: str, now: float) -> int:
    """Give the plan to organizations that pay one of its prices and had nothing for it so far.

    Call it in the transaction that saved or published the plan.

    Returns:
        How many organizations' records changed.
    """
    changed = 0
    for organization in sorted(await match_items(connection, environment, plan)):
        changed += await refresh_record(connection, environment, organization, now)
    return changed
