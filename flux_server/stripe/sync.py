"""Reading objects from Stripe again, and making Flux's state say the same.

One object at a time, under its claim: read it from Stripe, then, in one transaction, save it, rebuild the records
of the organizations it concerns, and clear its mark. So the order and number of webhooks cannot matter, and a
process that dies in between leaves the mark where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert
from flux_server.environments.revisions import lock
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.records import refresh_record
from flux_server.stripe.active_entitlements import ENTITLEMENTS, mark_entitlements, save_entitlements
from flux_server.stripe.client import StripeApi
from flux_server.stripe.connector import Connector
from flux_server.stripe.customers import (
    named_organization,
    read_customer_row,
    save_checkout,
    save_customer,
)
from flux_server.stripe.dirty import Claim, any_due, claim_due, holds, mark, put_back, settle
from flux_server.stripe.errors import AbsentError, CallError, KeyRefusedError, TemporaryError
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.indirect import mark_subscriptions
from flux_server.stripe.link import pause_link
from flux_server.stripe.meters import save_meter, unknown_meters
from flux_server.stripe.pacing import retry_delay
from flux_server.stripe.planning import plan_again
from flux_server.stripe.price_shapes import StripeFeature, StripePrice, StripeProduct, absent_price
from flux_server.stripe.prices import save_price, save_product, unknown_prices
from flux_server.stripe.shapes import (
    StripeCheckout,
    StripeCustomer,
    StripeMeter,
    StripeSubscription,
    next_look,
)
from flux_server.stripe.tables import stripe_subscriptions
from flux_server.subscriptions.subscriptions import SubscriptionState, save_subscription

__all__ = ["sync_due"]

_ACTOR: Final = "Stripe"  # as the history names it
_AT_ONCE = 8
_log = structlog.get_logger("flux.stripe")


async def sync_due(connector: Connector) -> bool:
    """Read and save some of the objects whose time has come; answer whether there were any."""
    now = connector.clock()
    async with connector.database.read() as connection:
        if not await any_due(connection, now):
            return False
    async with connector.database.write(_ACTOR) as connection:
        claims = await claim_due(connection, now, _AT_ONCE)
    await asyncio.gather(*(_sync(connector, claim) for claim in claims))
    return bool(claims)


async def _sync(connector: Connector, claim: Claim) -> None:
    try:
        await _read_and_save(connector, claim)
    except KeyRefusedError as error:
        await _on_refused_key(connector, claim, error)
    except TemporaryError as error:
        connector.note_answer(claim.environment, error)
        await _put_back(connector, claim, error)
    except Exception as error:
        # An object's boundary: whatever is wrong with it, the others go on, and its mark stays.
        if claim.attempts == 1:
            _log.warning(
                "object could not be read from Stripe, will be tried again",
                environment=claim.environment,
                object_type=claim.object.type,
                object_id=claim.object.id,
                reason=str(error),
                exc_info=None if isinstance(error, CallError) else error,
            )
        await _put_back(connector, claim, error)


async def _read_and_save(connector: Connector, claim: Claim) -> None:
    reader = _READERS.get(claim.object.type)
    if reader is None:
        await _let_be(connector, claim)
        return
    api = await connector.api(claim.environment)
    try:
        found = await reader.fetch(api, claim.object.id)
    except AbsentError:
        found = None
    connector.note_answer(claim.environment, None)
    now = connector.clock()
    async with connector.database.write(_ACTOR) as connection:
        await lock(connection, claim.environment)
        if await holds(connection, claim):
            again = await reader.save(connection, claim, found, now)
            await settle(connection, claim, look_again_at=again)


async def _let_be(connector: Connector, claim: Claim) -> None:
    """Settle a mark of a kind that this version reads nothing of."""
    _log.info("nothing to read", environment=claim.environment, object_type=claim.object.type)
    async with connector.database.write(_ACTOR) as connection:
        await settle(connection, claim)


async def _on_refused_key(connector: Connector, claim: Claim, error: KeyRefusedError) -> None:
    """A revoked key stops everything. A permission that only some kinds of object need stops only these."""
    needed = _READERS[claim.object.type].needed
    async with connector.database.write(_ACTOR) as connection:
        if error.status == 401 or needed:
            await pause_link(connection, claim.environment, f"Stripe refuses the key: {error}")
            _log.error("link to Stripe paused", environment=claim.environment, reason=str(error))
    await _put_back(connector, claim, error)


async def _put_back(connector: Connector, claim: Claim, error: Exception) -> None:
    delay = retry_delay(claim.attempts, connector.chance())
    async with connector.database.write(_ACTOR) as connection:
        await put_back(connection, claim, str(error)[:500], not_before=int(connector.clock()) + delay)


async def _save_subscription(
    connection: AsyncConnection, claim: Claim, found: StripeSubscription | None, now: float
) -> int | None:
    environment, name = claim.environment, claim.object.id
    if found is None:
        await _end_subscription(connection, environment, name, now)
        return None
    named = await named_organization(connection, environment, found.metadata)
    values = {"customer": found.customer, "organization": named}
    await connection.execute(
        insert(connection, stripe_subscriptions)
        .values(environment=environment, id=name, **values)
        .on_conflict_do_update(index_elements=stripe_subscriptions.primary_key, set_=values)
    )
    meters = await unknown_meters(
        connection, environment, (item.meter for item in found.state.items if item.meter)
    )
    await mark(connection, environment, (ObjectRef("billing.meter", meter) for meter in meters), now)
    prices = await unknown_prices(connection, environment, (item.price for item in found.state.items))
    await mark(connection, environment, (ObjectRef("price", price) for price in prices), now)
    await _save_state(connection, environment, found.state, found.customer, named, now)
    return next_look(found.state, now)


async def _end_subscription(connection: AsyncConnection, environment: str, name: str, now: float) -> None:
    """End a subscription that Stripe knows no more."""
    known = stripe_subscriptions.c
    query = select(known.customer, known.organization).where(
        known.environment == environment, known.id == name
    )
    row = (await connection.execute(query)).one_or_none()
    if row is not None:
        state = SubscriptionState(name, "canceled", ended_at=int(now))
        await _save_state(connection, environment, state, row.customer, row.organization, now)


async def _save_state(
    connection: AsyncConnection,
    environment: str,
    state: SubscriptionState,
    customer: str,
    named: str | None,
    now: float,
) -> None:
    """Save the subscription as its customer's organization's, else as that which it names itself."""
    known = await read_customer_row(connection, environment, customer)
    if known is None:
        await mark(connection, environment, [ObjectRef("customer", customer)], now)
    elif known.deleted and state.ended_at is None:
        # Stripe ends a deleted customer's subscriptions; nobody can pay for them any more.
        state = replace(state, status="canceled", ended_at=int(now))
    organization = (known.organization if known is not None else None) or named
    if organization is not None:
        await ensure_organization(connection, environment, organization, now=now)
    state = replace(state, organization=organization)
    touched = await save_subscription(connection, environment, state, now)
    changed = [
        owner for owner in sorted(touched) if await refresh_record(connection, environment, owner, now)
    ]
    if changed:  # and so may have what Stripe entitles the customer to
        await mark_entitlements(connection, environment, [customer], now)
    await plan_again(connection, environment, touched)


async def _save_customer(
    connection: AsyncConnection, claim: Claim, found: StripeCustomer | None, now: float
) -> None:
    # What is no customer but an account (of Accounts v2) cannot be read as one, and is not deleted for that.
    is_account = claim.object.id.startswith("acct_")
    customer = found or StripeCustomer(claim.object.id, {}, deleted=not is_account)
    await save_customer(connection, claim.environment, customer, now)


async def _save_checkout(
    connection: AsyncConnection, claim: Claim, found: StripeCheckout | None, now: float
) -> None:
    if found is not None:
        await save_checkout(connection, claim.environment, found, now)


async def _save_meter(connection: AsyncConnection, claim: Claim, found: StripeMeter | None, _: float) -> None:
    if found is not None:
        await save_meter(connection, claim.environment, found)


async def _save_price(
    connection: AsyncConnection, claim: Claim, found: StripePrice | None, now: float
) -> None:
    await save_price(connection, claim.environment, found or absent_price(claim.object.id), now)


async def _save_product(
    connection: AsyncConnection, claim: Claim, found: StripeProduct | None, _: float
) -> None:
    if found is not None:
        await save_product(connection, claim.environment, found)


async def _save_entitlements(
    connection: AsyncConnection, claim: Claim, found: tuple[StripeFeature, ...] | None, now: float
) -> None:
    await save_entitlements(connection, claim.environment, claim.object.id, found or (), now)


async def _fetch_all(api: StripeApi, _: str) -> list[str]:
    return [subscription async for subscription in api.subscription_ids()]


async def _mark_all(connection: AsyncConnection, claim: Claim, found: list[str] | None, now: float) -> None:
    mine = stripe_subscriptions.c.environment == claim.environment
    known = await connection.execute(select(stripe_subscriptions.c.id).where(mine))
    subscriptions = (ObjectRef("subscription", name) for name in {*(found or ()), *known.scalars()})
    await mark(connection, claim.environment, subscriptions, now)


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a kind of object is read and saved; without permission to read a `needed` one the link is useless."""

    fetch: Callable[[StripeApi, str], Awaitable[Any]]
    save: Callable[[AsyncConnection, Claim, Any, float], Awaitable[int | None]]
    needed: bool = True


_READERS: Final[dict[str, _Reader]] = {
    "subscription": _Reader(StripeApi.subscription, _save_subscription),
    "customer": _Reader(StripeApi.customer, _save_customer),
    "checkout.session": _Reader(StripeApi.checkout, _save_checkout, needed=False),
    "billing.meter": _Reader(StripeApi.meter, _save_meter, needed=False),
    "price": _Reader(StripeApi.price, _save_price, needed=False),
    "product": _Reader(StripeApi.product, _save_product, needed=False),
    ENTITLEMENTS: _Reader(StripeApi.active_entitlements, _save_entitlements, needed=False),
    "invoice": _Reader(StripeApi.invoice_subscriptions, mark_subscriptions, needed=False),
    "subscription_schedule": _Reader(StripeApi.schedule_subscriptions, mark_subscriptions, needed=False),
    "subscriptions": _Reader(_fetch_all, _mark_all),
}
