"""What operators want to see of a link: its customers, the events that came lately, and what waits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.tables import stripe_customers, stripe_dirty, stripe_events, stripe_subscriptions
from flux_server.subscriptions.tables import subscriptions

__all__ = [
    "Customer",
    "FailedRead",
    "ReceivedEvent",
    "UnknownCustomer",
    "list_customers",
    "list_events",
    "list_failed_reads",
    "list_unknown_customers",
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
