"""Stripe's own active entitlements, where a link says that they count: they grant features of the same key.

What Stripe says of a customer is kept as it was read, also while nobody knows whose customer it is; what an
organization is granted follows from that and from which customers it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import String, and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.slugs import slug
from flux_server.database import announce, insert, rows
from flux_server.environments.environments import list_environments
from flux_server.environments.revisions import lock
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.outside_grants import (
    OutsideGrant,
    list_granted_organizations,
    read_grants_of,
    replace_grants,
)
from flux_server.organizations.records import refresh_records
from flux_server.stripe.connector import Connector
from flux_server.stripe.dirty import mark
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.price_shapes import StripeFeature
from flux_server.stripe.tables import (
    stripe_active_entitlements,
    stripe_customers,
    stripe_links,
    stripe_subscriptions,
)
from flux_server.subscriptions.tables import subscriptions

__all__ = [
    "ENTITLEMENTS",
    "ENTITLEMENTS_TOPIC",
    "forget_entitlements",
    "grant_again",
    "mark_entitlements",
    "save_entitlements",
    "take_back",
    "take_back_everywhere",
]

ENTITLEMENTS: Final = "active_entitlements"
"""Mark an object of this type and a customer's id to have what Stripe entitles the customer to read again."""

ENTITLEMENTS_TOPIC: Final = "stripe-entitlements"
"""Rings when there is something left to take back."""

_AUTHOR = "Stripe"
_AT_ONCE = 200
_columns = stripe_active_entitlements.c


async def mark_entitlements(
    connection: AsyncConnection, environment: str, customers: Iterable[str] | None, now: float
) -> None:
    """Have the entitlements of the customers (None: of all that are known) read again, if they count here."""
    if not await _count(connection, environment):
        return
    if customers is None:
        known = stripe_customers.c
        alive = and_(known.environment == environment, known.deleted.is_(False))
        customers = (await connection.execute(select(known.customer).where(alive))).scalars()
    await mark(connection, environment, (ObjectRef(ENTITLEMENTS, customer) for customer in customers), now)


async def save_entitlements(
    connection: AsyncConnection,
    environment: str,
    customer: str,
    found: Collection[StripeFeature],
    now: float,
) -> None:
    """Store what Stripe entitles the customer to, and grant it to the organization that the customer is."""
    await lock(connection, environment)
    await forget_entitlements(connection, environment, customer)
    if found and await _count(connection, environment):
        keys = {entitlement.lookup_key: entitlement.id for entitlement in found}
        new = [
            {"environment": environment, "customer": customer, "lookup_key": key, "id": keys[key]}
            for key in keys
        ]
        await connection.execute(insert(connection, stripe_active_entitlements), new)
    owners = await _owners(connection, environment, customer)
    await refresh_records(
        connection, environment, await grant_again(connection, environment, owners, now), now
    )


async def forget_entitlements(connection: AsyncConnection, environment: str, customer: str) -> None:
    """Forget what Stripe entitled the customer to; `grant_again` takes it away."""
    mine = and_(_columns.environment == environment, _columns.customer == customer)
    await connection.execute(delete(stripe_active_entitlements).where(mine))


async def grant_again(
    connection: AsyncConnection, environment: str, organizations: Collection[str], now: float
) -> set[str]:
    """Let Stripe grant the organizations what their customers are entitled to; return whose records to refresh."""
    if not organizations:
        return set()
    granted: dict[str, dict[str, OutsideGrant]] = {}
    for organization, customer, lookup_key in await _entitled(connection, environment, organizations):
        key = slug(lookup_key)
        reason = f"active entitlement {lookup_key} of customer {customer}"
        granted.setdefault(organization, {}).setdefault(key, OutsideGrant(key, _AUTHOR, reason))
    for organization in granted:
        await ensure_organization(connection, environment, organization, now=now)
    had = await read_grants_of(connection, environment, organizations)
    grants = {name: granted.get(name, {}).values() for name in organizations}
    await replace_grants(connection, environment, _AUTHOR, grants)
    return had.keys() | granted.keys()


async def take_back(connection: AsyncConnection, environment: str, now: float) -> bool:
    """Take away what Stripe granted, if it does not count any more: from the next few; return whether any are left."""
    if await _count(connection, environment):
        return False
    await lock(connection, environment)
    await connection.execute(delete(stripe_active_entitlements).where(_columns.environment == environment))
    theirs = await list_granted_organizations(connection, environment, _AUTHOR, limit=_AT_ONCE)
    await replace_grants(connection, environment, _AUTHOR, dict.fromkeys(theirs, ()))
    await refresh_records(connection, environment, theirs, now)
    if len(theirs) == _AT_ONCE:
        announce(connection, ENTITLEMENTS_TOPIC)
    return len(theirs) == _AT_ONCE


async def take_back_everywhere(connector: Connector) -> bool:
    """Take away what does not count any more, in every environment: the next few; return whether any are left."""
    more = False
    async with connector.database.read() as connection:
        environments = [
            each.key
            for each in await list_environments(connection)
            if await list_granted_organizations(connection, each.key, _AUTHOR, limit=1)
        ]
    for environment in environments:
        async with connector.database.write(_AUTHOR) as connection:
            more |= await take_back(connection, environment, connector.clock())
    return more


async def _count(connection: AsyncConnection, environment: str) -> bool:
    """Say whether the environment's link says that active entitlements count."""
    option = select(stripe_links.c.stripe_entitlements).where(stripe_links.c.environment == environment)
    return bool((await connection.execute(option)).scalar_one_or_none())


async def _owners(connection: AsyncConnection, environment: str, customer: str) -> set[str]:
    """Return which organization the customer is, or those that its subscriptions name where nobody says it of it."""
    known, own = stripe_customers.c, stripe_subscriptions.c
    named = select(known.organization).where(known.environment == environment, known.customer == customer)
    owner = (await connection.execute(named)).scalar_one_or_none()
    if owner is not None:
        return {owner}
    theirs = select(subscriptions.c.organization).join(stripe_subscriptions, _same_subscription)
    found = theirs.where(own.environment == environment, own.customer == customer)
    return {each for each in (await connection.execute(found)).scalars() if each is not None}


async def _entitled(
    connection: AsyncConnection, environment: str, organizations: Collection[str]
) -> list[tuple[str, str, str]]:
    """Return organization, customer and lookup key of what customers are entitled to who are these organizations,
    or whose subscriptions name them.
    """
    known, own = stripe_customers.c, stripe_subscriptions.c
    names = [(organization,) for organization in organizations]
    wanted = rows(connection, {"name": String()}, names)
    columns = (
        wanted.c.name,
        known.organization,
        known.deleted,
        _columns.customer,
        _columns.lookup_key,
    )
    # Outer joins, and no conditions that make them inner ones: SQLite then begins with what is wanted.
    theirs = and_(known.environment == environment, known.organization == wanted.c.name)
    entitled = and_(_columns.environment == environment, _columns.customer == known.customer)
    said = select(*columns).select_from(
        wanted.outerjoin(stripe_customers, theirs).outerjoin(stripe_active_entitlements, entitled)
    )
    bought = and_(subscriptions.c.environment == environment, subscriptions.c.organization == wanted.c.name)
    same = and_(own.environment == environment, own.id == subscriptions.c.id)
    entitled = and_(_columns.environment == environment, _columns.customer == own.customer)
    payer = and_(known.environment == environment, known.customer == own.customer)
    named = select(*columns).select_from(
        wanted.outerjoin(subscriptions, bought)
        .outerjoin(stripe_subscriptions, same)
        .outerjoin(stripe_active_entitlements, entitled)
        .outerjoin(stripe_customers, payer)
    )
    found = [*await connection.execute(said), *await connection.execute(named)]
    return sorted(
        {
            (row.name, row.customer, row.lookup_key)
            for row in found
            if row.lookup_key is not None and row.organization in (None, row.name) and not row.deleted
        }
    )


_same_subscription = and_(
    subscriptions.c.environment == stripe_subscriptions.c.environment,
    subscriptions.c.id == stripe_subscriptions.c.id,
)
