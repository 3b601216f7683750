"""Which organizations an id of Stripe leads to, and letting go of an organization that is to be forgotten."""

from __future__ import annotations

from sqlalchemy import select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.revisions import lock
from flux_server.stripe.tables import stripe_customers, stripe_subscriptions
from flux_server.subscriptions.tables import subscriptions

__all__ = ["find_owners", "forget_owner"]


async def find_owners(connection: AsyncConnection, environment: str, name: str) -> set[str]:
    """Return the organizations that a customer or a subscription of this id belongs to."""
    same = (subscriptions.c.environment == stripe_subscriptions.c.environment) & (
        subscriptions.c.id == stripe_subscriptions.c.id
    )
    found = await connection.execute(
        union(
            select(stripe_customers.c.organization).where(
                stripe_customers.c.environment == environment, stripe_customers.c.customer == name
            ),
            select(subscriptions.c.organization).where(
                subscriptions.c.environment == environment, subscriptions.c.id == name
            ),
            select(subscriptions.c.organization)
            .join(stripe_subscriptions, same)
            .where(
                stripe_subscriptions.c.environment == environment, stripe_subscriptions.c.customer == name
            ),
        )
    )
    return {owner for owner in found.scalars() if owner is not None}


async def forget_owner(connection: AsyncConnection, environment: str, organization: str) -> None:
    """Forget which customers the organization is.

    They are not read again now: Stripe may still name the organization, which would bring it back at once.
    """
    await lock(connection, environment)
    for table, forgotten in (
        (stripe_customers, ("organization", "name", "email")),
        (stripe_subscriptions, ("organization",)),
    ):
        theirs = (table.c.environment == environment) & (table.c.organization == organization)
        await connection.execute(update(table).where(theirs).values(dict.fromkeys(forgotten)))
