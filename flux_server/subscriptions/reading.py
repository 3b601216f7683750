"""Subscriptions as operators want to see them: also those that grant nothing, and what no plan is sold by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.subscriptions.tables import subscription_items, subscriptions

__all__ = [
    "StoredItem",
    "StoredSubscription",
    "UnmappedPrice",
    "list_bought_prices",
    "list_subscriptions",
    "list_unmapped_prices",
]


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One line of a subscription; without a `plan_version` no plan is sold by its price."""

    id: str
    price: str
    plan_version: str | None
    quantity: int
    metered: bool
    period_start: int | None
    period_end: int | None


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """A subscription as last read; `unknown_status` is a word of the processor's that the rules do not know."""

    id: str
    status: str
    unknown_status: str | None
    started_at: int | None
    trial_end: int | None
    cancel_at: int | None
    ended_at: int | None
    past_due_since: int | None
    synced_at: int
    items: tuple[StoredItem, ...]


@dataclass(frozen=True, slots=True)
class UnmappedPrice:
    """A price that somebody pays and no plan is sold by."""

    price: str
    subscriptions: int


async def list_subscriptions(
    connection: AsyncConnection, environment: str, organization: str
) -> tuple[StoredSubscription, ...]:
    """Return the organization's subscriptions, newest first."""
    mine = (subscriptions.c.environment == environment) & (subscriptions.c.organization == organization)
    found = await connection.execute(
        select(subscription_items)
        .join(subscriptions, _same_subscription)
        .where(mine)
        .order_by(subscription_items.c.metered, subscription_items.c.id)
    )
    items: dict[str, list[StoredItem]] = {}
    for row in found:
        items.setdefault(row.subscription, []).append(_item(row))
    rows = await connection.execute(
        select(subscriptions)
        .where(mine)
        .order_by(func.coalesce(subscriptions.c.started_at, 0).desc(), subscriptions.c.id)
    )
    return tuple(_subscription(row, items.get(row.id, [])) for row in rows)


async def list_unmapped_prices(
    connection: AsyncConnection, environment: str, limit: int
) -> tuple[UnmappedPrice, ...]:
    """Return prices of present subscriptions that no plan is sold by, those of most subscriptions first."""
    how_many = func.count(subscription_items.c.subscription.distinct())
    rows = await connection.execute(
        select(subscription_items.c.price, how_many.label("subscriptions"))
        .join(subscriptions, _same_subscription)
        .where(
            subscription_items.c.environment == environment,
            subscription_items.c.plan_version.is_(None),
            subscriptions.c.ended_at.is_(None),
        )
        .group_by(subscription_items.c.price)
        .order_by(how_many.desc(), subscription_items.c.price)
        .limit(limit)
    )
    return tuple(UnmappedPrice(row.price, row.subscriptions) for row in rows)


async def list_bought_prices(connection: AsyncConnection, environment: str) -> frozenset[str]:
    """Return the prices of all present subscriptions."""
    found = await connection.execute(
        select(subscription_items.c.price)
        .join(subscriptions, _same_subscription)
        .where(subscription_items.c.environment == environment, subscriptions.c.ended_at.is_(None))
        .distinct()
    )
    return frozenset(found.scalars())


_same_subscription = (subscriptions.c.environment == subscription_items.c.environment) & (
    subscriptions.c.id == subscription_items.c.subscription
)


def _item(row: Row[Any]) -> StoredItem:
    return StoredItem(
        row.id, row.price, row.plan_version, row.quantity, row.metered, row.period_start, row.period_end
    )


def _subscription(row: Row[Any], items: list[StoredItem]) -> StoredSubscription:
    return StoredSubscription(
        id=row.id,
        status=row.status,
        unknown_status=row.unknown_status,
        started_at=row.started_at,
        trial_end=row.trial_end,
        cancel_at=row.cancel_at,
        ended_at=row.ended_at,
        past_due_since=row.past_due_since,
        synced_at=row.synced_at,
        items=tuple(items),
    )
