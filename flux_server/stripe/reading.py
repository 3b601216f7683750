"""What operators want to see of a link: its customers, the events that came lately, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.tables import (
    stripe_customers,
    stripe_dirty,
    stripe_events,
    stripe_links,
    stripe_prices,
    stripe_subscriptions,
)
from flux_server.subscriptions.tables import subscription_items, subscriptions

__all__ = [
    "Customer",
    "DescribedPrice",
    "FailedRead",
    "ReceivedEvent",
    "UnknownCustomer",
    "UnmappedSubscription",
    "count_unmapped_subscriptions",
    "describe_unmapped_prices",
    "list_customers",
    "list_events",
    "list_failed_reads",
    "list_unknown_customers",
    "list_unmapped_subscriptions",
]


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer of Stripe that is an organization; `source` says who says so: explicit, metadata or checkout."""

    id: str
    source: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class UnknownCustomer:
    """A subscription, and its customer, of which nobody has said which organization it is."""

    id: str
    subscription: str
    status: str


@dataclass(frozen=True, slots=True)
class UnmappedSubscription:
    """A subscription that waits for somebody to say whose it is: since when, and what to do about it."""

    subscription: str
    customer: str
    customer_name: str | None
    customer_email: str | None
    status: str
    since: int
    advice: str


@dataclass(frozen=True, slots=True)
class DescribedPrice:
    """A price that somebody pays and no plan is sold by, as far as it is known, and what to do about it."""

    price: str
    subscriptions: int
    since: int
    description: str
    lookup_key: str | None
    product: str | None
    product_name: str | None
    advice: str


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event that Stripe sent."""

    id: str
    type: str
    object_id: str
    created_at: int
    received_at: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class FailedRead:
    """An object that could not be read from Stripe so far, and why; it is tried again."""

    object_type: str
    object_id: str
    attempts: int
    error: str


async def list_customers(
    connection: AsyncConnection, environment: str, organization: str
) -> tuple[Customer, ...]:
    """Return the customers that are the organization."""
    columns = stripe_customers.c
    rows = await connection.execute(
        select(columns.customer, columns.source, columns.deleted)
        .where(columns.environment == environment, columns.organization == organization)
        .order_by(columns.customer)
    )
    return tuple(Customer(row.customer, row.source, row.deleted) for row in rows)


async def list_unknown_customers(
    connection: AsyncConnection, environment: str, limit: int
) -> tuple[UnknownCustomer, ...]:
    """Return present subscriptions of which nobody has said whose they are."""
    rows = await connection.execute(
        select(stripe_subscriptions.c.customer, subscriptions.c.id, subscriptions.c.status)
        .join(
            subscriptions,
            (subscriptions.c.environment == stripe_subscriptions.c.environment)
            & (subscriptions.c.id == stripe_subscriptions.c.id),
        )
        .where(
            subscriptions.c.environment == environment,
            subscriptions.c.organization.is_(None),
            subscriptions.c.ended_at.is_(None),
        )
        .order_by(stripe_subscriptions.c.customer, subscriptions.c.id)
        .limit(limit)
    )
    return tuple(UnknownCustomer(row.customer, row.id, row.status) for row in rows)


async def list_unmapped_subscriptions(
    connection: AsyncConnection, environment: str, *, after: str = "", limit: int
) -> tuple[UnmappedSubscription, ...]:
    """Return present subscriptions of which nobody has said whose they are: those after `after`, by their ids."""
    key = await connection.execute(
        select(stripe_links.c.metadata_key).where(stripe_links.c.environment == environment)
    )
    metadata_key = key.scalar_one_or_none()
    found = _unmapped(environment).where(subscriptions.c.id > after).order_by(subscriptions.c.id).limit(limit)
    return tuple(_unmapped_subscription(row, metadata_key) for row in await connection.execute(found))


async def count_unmapped_subscriptions(connection: AsyncConnection, environment: str) -> int:
    """Return of how many present subscriptions nobody has said whose they are."""
    count = select(func.count()).select_from(_unmapped(environment).subquery())
    return int((await connection.execute(count)).scalar_one())


async def describe_unmapped_prices(
    connection: AsyncConnection, environment: str, *, after: str = "", limit: int
) -> tuple[DescribedPrice, ...]:
    """Return prices of present subscriptions that no plan is sold by: those after `after`, by their ids."""
    items, prices = subscription_items.c, stripe_prices.c
    waiting = (
        select(
            items.price,
            func.count(items.subscription.distinct()).label("subscriptions"),
            func.min(func.coalesce(subscriptions.c.started_at, subscriptions.c.synced_at)).label("since"),
        )
        .join(subscriptions, _same_subscription(subscription_items.c.environment, items.subscription))
        .where(
            items.environment == environment,
            items.plan_version.is_(None),
            items.price > after,
            subscriptions.c.ended_at.is_(None),
        )
        .group_by(items.price)
        .order_by(items.price)
        .limit(limit)
        .subquery("waiting")
    )
    same = and_(prices.environment == environment, prices.id == waiting.c.price)
    rows = await connection.execute(
        select(waiting, prices.description, prices.lookup_key, prices.product, prices.product_name)
        .select_from(waiting.outerjoin(stripe_prices, same))
        .order_by(waiting.c.price)
    )
    return tuple(_described_price(row) for row in rows)


async def list_events(connection: AsyncConnection, environment: str, limit: int) -> tuple[ReceivedEvent, ...]:
    """Return the events that came last, newest first."""
    columns = stripe_events.c
    rows = await connection.execute(
        select(
            columns.id,
            columns.type,
            columns.object_id,
            columns.created_at,
            columns.received_at,
            columns.deliveries,
        )
        .where(columns.environment == environment)
        .order_by(columns.received_at.desc(), columns.id)
        .limit(limit)
    )
    return tuple(
        ReceivedEvent(row.id, row.type, row.object_id or "", row.created_at, row.received_at, row.deliveries)
        for row in rows
    )


async def list_failed_reads(
    connection: AsyncConnection, environment: str, limit: int
) -> tuple[FailedRead, ...]:
    """Return what could not be read from Stripe, most often tried first."""
    columns = stripe_dirty.c
    rows = await connection.execute(
        select(columns.object_type, columns.object_id, columns.attempts, columns.last_error)
        .where(columns.environment == environment, columns.last_error.is_not(None))
        .order_by(columns.attempts.desc(), columns.object_type, columns.object_id)
        .limit(limit)
    )
    return tuple(FailedRead(row.object_type, row.object_id, row.attempts, row.last_error) for row in rows)


def _same_subscription(environment: Any, subscription: Any) -> Any:
    return and_(subscriptions.c.environment == environment, subscriptions.c.id == subscription)


def _unmapped(environment: str) -> Select[Any]:
    own, customers = stripe_subscriptions.c, stripe_customers.c
    same_customer = and_(customers.environment == own.environment, customers.customer == own.customer)
    return (
        select(
            subscriptions.c.id,
            own.customer,
            customers.customer.is_not(None).label("is_read"),
            customers.name,
            customers.email,
            func.coalesce(subscriptions.c.unknown_status, subscriptions.c.status).label("status"),
            func.coalesce(subscriptions.c.started_at, subscriptions.c.synced_at).label("since"),
        )
        .join(stripe_subscriptions, _same_subscription(own.environment, own.id))
        .outerjoin(stripe_customers, same_customer)
        .where(
            subscriptions.c.environment == environment,
            subscriptions.c.organization.is_(None),
            subscriptions.c.ended_at.is_(None),
        )
    )


def _unmapped_subscription(row: Row[Any], metadata_key: str | None) -> UnmappedSubscription:
    return UnmappedSubscription(
        subscription=row.id,
        customer=row.customer,
        customer_name=row.name,
        customer_email=row.email,
        status=row.status,
        since=row.since,
        advice=_advice(row.customer, metadata_key, is_read=row.is_read),
    )


def _advice(customer: str, metadata_key: str | None, *, is_read: bool) -> str:
    named = f"PUT /v1/stripe/customers/{customer} with its organization, or map it on the organization's page"
    if metadata_key is None:
        return f"say whose customer {customer} is: {named}"
    if not is_read:
        return f"wait a moment: customer {customer} is about to be read, and may say whose it is"
    return (
        f"say whose customer {customer} is: in Stripe, set its metadata {metadata_key!r} to the organization's id; or "
        f"{named}"
    )


def _described_price(row: Row[Any]) -> DescribedPrice:
    references = [row.price]
    if row.lookup_key:
        references.append(f"lookup_key:{row.lookup_key}")
    if row.product:
        references.append(f"product:{row.product}")
    return DescribedPrice(
        price=row.price,
        subscriptions=row.subscriptions,
        since=row.since,
        description=row.description or "",
        lookup_key=row.lookup_key,
        product=row.product,
        product_name=row.product_name,
        advice=f"add {' or '.join(references)} to the prices of the plan that it sells",
    )
