"""Making Flux's state say what was read from Stripe: subscriptions, one or a page of them, in one transaction.

A subscription is saved only from a read that began after the one it was last saved from, and only what differs is
written; so readers may overlap in any way, and reading what did not change costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import StatusPolicy, decode
from flux_server.catalog.tables import plans
from flux_server.database import insert, one_of
from flux_server.environments.environments import read_environment
from flux_server.environments.revisions import lock
from flux_server.organizations.organizations import read_names, save_organizations
from flux_server.organizations.records import refresh_records
from flux_server.stripe.active_entitlements import mark_entitlements
from flux_server.stripe.customers import metadata_key, organization_in, read_customer_rows
from flux_server.stripe.dirty import mark
from flux_server.stripe.drift import Difference, Drift, Known, compare, read_known
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.meters import unknown_meters
from flux_server.stripe.planning import plan_again
from flux_server.stripe.prices import unknown_prices
from flux_server.stripe.shapes import StripeSubscription, next_look
from flux_server.stripe.tables import stripe_subscriptions
from flux_server.subscriptions.subscriptions import SubscriptionState
from flux_server.subscriptions.subscriptions import save_subscriptions as save_states
from flux_server.subscriptions.tables import subscriptions

__all__ = ["Saved", "end_subscription", "note_read", "save_subscriptions"]

_OF_THE_PRICE: Final = ("lookup_key", "product", "meter")
_UNPAID: Final = ("past_due", "unpaid")


@dataclass(frozen=True, slots=True)
class Saved:
    """What of the subscriptions was not as Flux believed, and when each must be looked at again (None: never)."""

    looks: Mapping[str, int | None]
    changes: tuple[Drift, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    """A subscription as it is to be, whose customer names whom it belongs to, else it itself."""

    state: SubscriptionState
    customer: str
    named: str | None


async def save_subscriptions(
    connection: AsyncConnection, environment: str, found: Sequence[StripeSubscription], read: int, now: float
) -> Saved:
    """Save the subscriptions as the read of this number found them."""
    await lock(connection, environment)
    key = await metadata_key(connection, environment)
    readings = [_Reading(each.state, each.customer, organization_in(each.metadata, key)) for each in found]
    return await _save(connection, environment, readings, read, now)


async def end_subscription(
    connection: AsyncConnection, environment: str, name: str, read: int, now: float
) -> Saved:
    """End a subscription that, as the read of this number found, Stripe knows no more."""
    await lock(connection, environment)
    known = (await read_known(connection, environment, [name])).get(name)
    if known is None:
        await note_read(connection, environment, [name], read, now)
        return Saved(looks={name: None})
    state = SubscriptionState(name, "canceled", ended_at=int(now))
    reading = _Reading(state if known.state.ended_at is None else known.state, known.customer, known.named)
    return await _save(connection, environment, [reading], read, now)


async def _save(
    connection: AsyncConnection, environment: str, readings: Sequence[_Reading], read: int, now: float
) -> Saved:
    known = await read_known(connection, environment, [reading.state.id for reading in readings])
    customers = await read_customer_rows(connection, environment, {reading.customer for reading in readings})
    newer = [
        _owned(reading, customers.get(reading.customer), known.get(reading.state.id), now)
        for reading in readings
        if reading.state.id not in known or known[reading.state.id].read < read
    ]
    changes = {}
    for reading in newer:
        drift = _change(known.get(reading.state.id), reading)
        if drift is not None:
            changes[reading.state.id] = drift
    await _write(connection, environment, [each for each in newer if each.state.id in changes], read, now)
    await note_read(
        connection, environment, [each.state.id for each in newer if each.state.id not in changes], read, now
    )
    unknown = {each.customer for each in newer} - customers.keys()
    await mark(connection, environment, (ObjectRef("customer", customer) for customer in unknown), now)
    states = {name: each.state for name, each in known.items()} | {
        each.state.id: each.state for each in newer
    }
    return Saved(await _looks(connection, environment, states, known, now), tuple(changes.values()))


def _owned(reading: _Reading, customer: Row[Any] | None, known: Known | None, now: float) -> _Reading:
    """Say whose it is; and Stripe ends a deleted customer's subscriptions, nobody can pay for them any more."""
    state = replace(
        reading.state, organization=(customer.organization if customer is not None else None) or reading.named
    )
    if customer is not None and customer.deleted and state.ended_at is None:
        ended_at = None if known is None else known.state.ended_at
        state = replace(state, status="canceled", ended_at=int(now) if ended_at is None else ended_at)
    return replace(reading, state=state)


def _change(known: Known | None, reading: _Reading) -> Drift | None:
    state = reading.state
    if known is None:
        status = Difference("status", None, state.status)
        return Drift("subscription", state.id, state.organization, (status,), None, "added")
    found = compare(known, state, reading.customer, reading.named)
    if not found and known.state.organization == state.organization:
        return None
    ended = state.ended_at is not None and known.state.ended_at is None
    owner = state.organization or known.state.organization
    # What a price is called is no part of the subscription, and whose it is follows from what was read of others.
    told = tuple(each for each in found if not each.field.endswith(_OF_THE_PRICE))
    return Drift("subscription", state.id, owner, told, known.read_at, "ended" if ended else "saved")


async def _write(
    connection: AsyncConnection,
    environment: str,
    changed: Collection[_Reading],
    read: int,
    now: float,
) -> None:
    if not changed:
        return
    statement = insert(connection, stripe_subscriptions)
    new = {name: statement.excluded[name] for name in ("customer", "organization", "read")}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=stripe_subscriptions.primary_key, set_=new),
        [
            {"environment": environment, "id": each.state.id, "read": read}
            | {"customer": each.customer, "organization": each.named}
            for each in changed
        ],
    )
    items = [item for each in changed for item in each.state.items]
    meters = await unknown_meters(connection, environment, (item.meter for item in items if item.meter))
    await mark(connection, environment, (ObjectRef("billing.meter", meter) for meter in meters), now)
    prices = await unknown_prices(connection, environment, (item.price for item in items))
    await mark(connection, environment, (ObjectRef("price", price) for price in prices), now)
    await _ensure_organizations(connection, environment, (each.state.organization for each in changed), now)
    touched = await save_states(connection, environment, [each.state for each in changed], now)
    await refresh_records(connection, environment, sorted(touched), now)
    # What Stripe entitles their customers to may have changed with them.
    await mark_entitlements(connection, environment, {each.customer for each in changed}, now)
    await plan_again(connection, environment, touched)


async def _ensure_organizations(
    connection: AsyncConnection, environment: str, organizations: Iterable[str | None], now: float
) -> None:
    wanted = {organization for organization in organizations if organization is not None}
    new = wanted - (await read_names(connection, environment, wanted)).keys()
    if new:
        await save_organizations(connection, environment, dict.fromkeys(sorted(new), ""), sorted(new), now)


async def note_read(
    connection: AsyncConnection, environment: str, ids: Collection[str], read: int, now: float
) -> None:
    """Note that the subscriptions are as believed: an older read that comes late has nothing to say."""
    if not ids:
        return
    for table, values in ((stripe_subscriptions, {"read": read}), (subscriptions, {"synced_at": int(now)})):
        mine = (table.c.environment == environment) & table.c.id.in_(one_of(connection, ids))
        await connection.execute(update(table).where(mine).values(values))


async def _looks(
    connection: AsyncConnection,
    environment: str,
    states: Mapping[str, SubscriptionState],
    known: Mapping[str, Known],
    now: float,
) -> dict[str, int | None]:
    unpaid = {name for name, state in states.items() if state.status in _UNPAID}
    lengths = await _grace_lengths(connection, environment) if unpaid else set()
    looks = {}
    for name, state in states.items():
        seen = known[name].state.past_due_since if name in known else None
        began = int(now) if seen is None else seen
        graces = [began + length for length in lengths] if name in unpaid else []
        looks[name] = next_look(state, now, graces)
    return looks


async def _grace_lengths(connection: AsyncConnection, environment: str) -> set[int]:
    """Return for how long a failed payment is put up with, by any policy of the environment."""
    own = select(plans.c.policy).where(plans.c.environment == environment, plans.c.policy.is_not(None))
    policies = [decode(policy, StatusPolicy) for policy in (await connection.execute(own)).scalars()]
    policies.append((await read_environment(connection, environment)).policy)
    return {policy.grace for policy in policies}
