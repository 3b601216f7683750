"""Which organization a customer of Stripe is.

An operator's explicit word comes first, then what the customer's metadata says, then the checkout session in
which the customer was made. A customer of whom nothing says it leaves it to each subscription's own metadata.
A subscription whose organization nobody knows yet is kept all the same, and provisions as soon as somebody does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.errors import InvalidOrganizationError
from flux_middleware.snapshot import require_organization
from flux_server.database import insert, one_of
from flux_server.environments.history import note_all
from flux_server.environments.revisions import lock
from flux_server.errors import NotFoundError
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.records import refresh_records
from flux_server.stripe.active_entitlements import forget_entitlements, grant_again, mark_entitlements
from flux_server.stripe.dirty import mark
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.planning import plan_again
from flux_server.stripe.shapes import StripeCheckout, StripeCustomer
from flux_server.stripe.tables import stripe_customers, stripe_links, stripe_subscriptions
from flux_server.subscriptions.subscriptions import assign_subscriptions

__all__ = [
    "differing_customers",
    "map_customer",
    "map_customers",
    "mark_customers",
    "metadata_key",
    "named_organization",
    "organization_in",
    "read_customer_row",
    "read_customer_rows",
    "save_checkout",
    "save_customer",
    "save_new_customers",
    "unmap_customer",
]


async def map_customer(
    connection: AsyncConnection, environment: str, customer: str, organization: str, now: float
) -> None:
    """Say that the customer is this organization, whatever Stripe says; its subscriptions provision at once."""
    await ensure_organization(connection, environment, organization, now=now)
    await map_customers(connection, environment, {customer: organization}, now)


async def map_customers(
    connection: AsyncConnection, environment: str, organizations: Mapping[str, str], now: float
) -> None:
    """Say of each customer which organization it is, as `map_customer` does; the organizations must exist."""
    await lock(connection, environment)
    known = select(stripe_customers.c.customer, stripe_customers.c.organization).where(
        stripe_customers.c.environment == environment,
        stripe_customers.c.customer.in_(one_of(connection, organizations)),
    )
    before: dict[str, str | None] = {
        row.customer: row.organization for row in await connection.execute(known)
    }
    await _upsert(
        connection,
        [
            {"environment": environment, "customer": customer, "deleted": False}
            | {"organization": organization, "source": "explicit"}
            for customer, organization in organizations.items()
        ],
        ("organization", "source"),
    )
    moved = {customer for customer, owner in organizations.items() if before.get(customer) != owner}
    touched = {owner for customer in moved for owner in (before.get(customer), organizations[customer])}
    await _note_customers(connection, environment, touched, now)
    for customer in await _with_subscriptions(connection, environment, organizations):
        await _reassign(connection, environment, customer, now)
    owners = {owner for owner in touched if owner is not None}
    await refresh_records(
        connection, environment, await grant_again(connection, environment, owners, now), now
    )


async def unmap_customer(connection: AsyncConnection, environment: str, customer: str, now: float) -> None:
    """Take back whose customer it is, whoever said so; what Stripe says of it is read again.

    Raises:
        NotFoundError: it is nobody's.
    """
    await lock(connection, environment)
    before = await read_customer_row(connection, environment, customer)
    if before is None or before.organization is None:
        raise NotFoundError(
            f"customer {customer!r:.300} is no organization, so there is nothing to take back"
        )
    await _store(connection, environment, customer, now, organization=None, source="metadata")
    await mark(connection, environment, [ObjectRef("customer", customer)], now)
    await _reassign(connection, environment, customer, now, before.organization)


async def save_customer(
    connection: AsyncConnection, environment: str, customer: StripeCustomer, now: float
) -> None:
    """Store what Stripe says of the customer, and give its subscriptions to the organization it names."""
    await lock(connection, environment)
    before = await read_customer_row(connection, environment, customer.id)
    values: dict[str, Any] = {
        "deleted": customer.deleted,
        "name": customer.name,
        "email": customer.email,
    }
    named = await named_organization(connection, environment, customer.metadata)
    said_otherwise = before is not None and before.source in ("explicit", "checkout")
    # A deleted customer's metadata is gone, not what it said.
    if not customer.deleted and (named or not said_otherwise) and not _explicit(before):
        values |= {"organization": named, "source": "metadata"}
    await _store(connection, environment, customer.id, now, **values)
    if customer.deleted:
        await _mark_subscriptions(connection, environment, customer.id, now)
        await forget_entitlements(connection, environment, customer.id)
    else:
        await mark_entitlements(connection, environment, [customer.id], now)
    was = None if before is None else before.organization
    await _reassign(connection, environment, customer.id, now, was)


async def save_checkout(
    connection: AsyncConnection, environment: str, checkout: StripeCheckout, now: float
) -> None:
    """Bind the session's customer to the organization that the application named when it opened the session."""
    await lock(connection, environment)
    named = checkout.client_reference
    if not _is_organization(named):
        named = await named_organization(connection, environment, checkout.metadata)
    if checkout.customer is None or named is None:
        return
    before = await read_customer_row(connection, environment, checkout.customer)
    if before is None or before.organization is None:
        await _store(
            connection,
            environment,
            checkout.customer,
            now,
            organization=named,
            source="checkout",
        )
        # Its own metadata, if it has any, says more.
        await mark(connection, environment, [ObjectRef("customer", checkout.customer)], now)
    await _reassign(connection, environment, checkout.customer, now)


async def save_new_customers(
    connection: AsyncConnection, environment: str, customers: Iterable[StripeCustomer], now: float
) -> None:
    """Store what Stripe says of customers that were never read before, as `save_customer` does."""
    await lock(connection, environment)
    key = await metadata_key(connection, environment)
    new = {customer.id: customer for customer in customers}
    named = {name: organization_in(customer.metadata, key) for name, customer in new.items()}
    rows = [
        {"environment": environment, "customer": name, "deleted": customer.deleted}
        | {"organization": named[name], "source": "metadata"}
        | {"name": customer.name, "email": customer.email}
        for name, customer in new.items()
    ]
    await _upsert(connection, rows, ("deleted",))
    await _note_customers(connection, environment, set(named.values()), now)
    for name in await _with_subscriptions(connection, environment, new):
        await _reassign(connection, environment, name, now)


async def differing_customers(
    connection: AsyncConnection, environment: str, customers: Iterable[StripeCustomer]
) -> dict[str, tuple[str | None, str | None]]:
    """Return which of the customers would change if they were saved: their organization now, and then."""
    key = await metadata_key(connection, environment)
    found = {customer.id: customer for customer in customers}
    changes: dict[str, tuple[str | None, str | None]] = {}
    for name, row in (await read_customer_rows(connection, environment, found)).items():
        named = organization_in(found[name].metadata, key)
        if found[name].deleted != row.deleted:
            changes[name] = (row.organization, row.organization)
        elif not found[name].deleted and _says_otherwise(row, named):
            changes[name] = (row.organization, named)
    return changes


def _says_otherwise(customer: Row[Any], named: str | None) -> bool:
    return customer.organization != named and (
        customer.source == "metadata" or (customer.source == "checkout" and named is not None)
    )


async def mark_customers(connection: AsyncConnection, environment: str, now: float) -> None:
    """Have every known customer read again."""
    known = select(stripe_customers.c.customer).where(stripe_customers.c.environment == environment)
    customers = (await connection.execute(known)).scalars()
    await mark(connection, environment, (ObjectRef("customer", customer) for customer in customers), now)


async def read_customer_row(connection: AsyncConnection, environment: str, customer: str) -> Row[Any] | None:
    """Return what is known of the customer; None if it was never read."""
    query = select(stripe_customers).where(
        stripe_customers.c.environment == environment, stripe_customers.c.customer == customer
    )
    return (await connection.execute(query)).one_or_none()


async def read_customer_rows(
    connection: AsyncConnection, environment: str, customers: Iterable[str]
) -> dict[str, Row[Any]]:
    """Return what is known of those of the customers that were read before, by their ids."""
    found = await connection.execute(
        select(stripe_customers).where(
            stripe_customers.c.environment == environment,
            stripe_customers.c.customer.in_(one_of(connection, customers)),
        )
    )
    return {row.customer: row for row in found}


async def named_organization(
    connection: AsyncConnection, environment: str, metadata: Mapping[str, str]
) -> str | None:
    """Return the organization that an object's metadata names, under the key that the link says."""
    return organization_in(metadata, await metadata_key(connection, environment))


async def metadata_key(connection: AsyncConnection, environment: str) -> str:
    """Return under which key of their metadata the link's objects name their organization."""
    key = select(stripe_links.c.metadata_key).where(stripe_links.c.environment == environment)
    return (await connection.execute(key)).scalar_one_or_none() or ""


def organization_in(metadata: Mapping[str, str], key: str) -> str | None:
    """Return the organization that the metadata names under the key."""
    named = metadata.get(key)
    return named if _is_organization(named) else None


def _is_organization(name: object) -> bool:
    try:
        require_organization(name)
    except InvalidOrganizationError:
        return False
    return True


def _explicit(customer: Row[Any] | None) -> bool:
    return customer is not None and customer.source == "explicit"


async def _store(
    connection: AsyncConnection, environment: str, customer: str, now: float, **values: Any
) -> None:
    before = await read_customer_row(connection, environment, customer)
    new = {"organization": None, "source": "metadata", "deleted": False} | values
    await _upsert(connection, [{"environment": environment, "customer": customer, **new}], values)
    was = None if before is None else before.organization
    if values.get("organization", was) != was:
        await _note_customers(connection, environment, {was, values["organization"]}, now)


async def _upsert(
    connection: AsyncConnection, customers: Sequence[Mapping[str, Any]], changes: Iterable[str]
) -> None:
    if customers:
        statement = insert(connection, stripe_customers)
        new = {name: statement.excluded[name] for name in changes}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=stripe_customers.primary_key, set_=new),
            list(customers),
        )


async def _note_customers(
    connection: AsyncConnection, environment: str, organizations: set[str | None], now: float
) -> None:
    """Note in the history which customers the organizations are from now on."""
    columns = stripe_customers.c
    theirs: dict[str, list[str]] = {name: [] for name in organizations if name is not None}
    found = await connection.execute(
        select(columns.customer, columns.organization).where(
            columns.environment == environment, columns.organization.in_(one_of(connection, theirs))
        )
    )
    for row in found:
        theirs[row.organization].append(row.customer)
    states = {name: {"stripe_customers": sorted(theirs[name])} for name in sorted(theirs)}
    await note_all(connection, environment, "customers", states, now)


async def _with_subscriptions(
    connection: AsyncConnection, environment: str, customers: Iterable[str]
) -> list[str]:
    columns = stripe_subscriptions.c
    query = select(columns.customer).where(
        columns.environment == environment, columns.customer.in_(one_of(connection, customers))
    )
    return sorted(set((await connection.execute(query)).scalars()))


async def _mark_subscriptions(
    connection: AsyncConnection, environment: str, customer: str, now: float
) -> None:
    ids = [row.id for row in await _subscriptions(connection, environment, customer)]
    await mark(connection, environment, (ObjectRef("subscription", name) for name in ids), now)


async def _reassign(
    connection: AsyncConnection, environment: str, customer: str, now: float, was: str | None = None
) -> None:
    """Give what the customer has to whom it belongs by all that is known now; it was another organization's."""
    known = await read_customer_row(connection, environment, customer)
    owner = None if known is None else known.organization
    theirs: dict[str | None, list[str]] = {}
    for row in await _subscriptions(connection, environment, customer):
        theirs.setdefault(owner or row.organization, []).append(row.id)
    touched: set[str] = set()
    for organization, ids in theirs.items():
        if organization is not None:
            await ensure_organization(connection, environment, organization, now=now)
        touched |= await assign_subscriptions(connection, environment, ids, organization)
    owners = touched | {each for each in (owner, was) if each is not None}
    granted = await grant_again(connection, environment, owners, now)
    await refresh_records(connection, environment, touched | granted, now)
    await plan_again(connection, environment, touched)


async def _subscriptions(connection: AsyncConnection, environment: str, customer: str) -> list[Row[Any]]:
    query = select(stripe_subscriptions).where(
        stripe_subscriptions.c.environment == environment, stripe_subscriptions.c.customer == customer
    )
    return list(await connection.execute(query))
