"""What an edit of the catalog means for organizations."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.publishing import GrantChange, draft_changes
from flux_server.catalog.reading import read_plan
from flux_server.database import announce
from flux_server.environments.environments import read_environment
from flux_server.organizations.records import refresh_records
from flux_server.subscriptions.matching import match_items
from flux_server.subscriptions.subscriptions import count_subscribers

__all__ = ["PRICES_TOPIC", "Publication", "apply_prices", "preview_publication"]

PRICES_TOPIC = "prices"
"""Rings when there are items left that a plan is sold by."""

_ITEMS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing a plan's draft would change, and for how many organizations if they migrate.

    `subscribers` are those of each published version, by its id. Of the default plan, everybody without a base
    plan moves as well, whatever is chosen for subscribers.
    """

    plan: str
    changes: tuple[GrantChange, ...]
    subscribers: dict[str, int]
    is_default_plan: bool


async def preview_publication(connection: AsyncConnection, environment: str, plan: str) -> Publication:
    """Return what publishing the plan's draft would change."""
    present = await read_plan(connection, environment, plan)
    settings = await read_environment(connection, environment)
    return Publication(
        plan,
        draft_changes(present),
        await count_subscribers(connection, environment, plan),
        settings.default_plan == plan,
    )


async def apply_prices(connection: AsyncConnection, environment: str, now: float) -> bool:
    """Give plans to organizations that pay one of their prices and had nothing for it so far: the next few.

    Call it in the transaction that saved or published a plan; a job sees to those that are left.

    Returns:
        Whether any are left.
    """
    changed, more = await match_items(connection, environment, limit=_ITEMS_AT_ONCE)
    await refresh_records(connection, environment, changed, now)
    if more:
        announce(connection, PRICES_TOPIC)
    return more
