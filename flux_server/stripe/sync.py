"""Reading objects from Stripe again, and making Flux's state say the same.

One object at a time, under its claim: read it from Stripe, then, in one transaction, save it, rebuild the records
of the organizations it concerns, and clear its mark. So the order and number of webhooks cannot matter, and a
process that dies in between leaves the mark where it was.

Objects do not wait for each other: as many are under way as Stripe may be asked for, and one that hangs keeps only
its own place. Where very many subscriptions are marked, a sweep reads them a hundred at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.revisions import lock
from flux_server.jobs.side_by_side import Pieces, run_side_by_side
from flux_server.stripe.active_entitlements import ENTITLEMENTS, save_entitlements
from flux_server.stripe.budgets import Turns, endpoint_of, reserve
from flux_server.stripe.client import StripeApi
from flux_server.stripe.connector import Connector
from flux_server.stripe.customers import save_checkout, save_customer
from flux_server.stripe.dirty import (
    ALL_SUBSCRIPTIONS,
    DIRTY_TOPIC,
    Claim,
    DueKind,
    claim_due,
    due_kinds,
    holds,
    put_back,
    settle,
)
from flux_server.stripe.errors import AbsentError, CallError, KeyRefusedError, TemporaryError
from flux_server.stripe.indirect import mark_subscriptions
from flux_server.stripe.link import pause_link
from flux_server.stripe.meters import save_meter
from flux_server.stripe.pacing import retry_delay
from flux_server.stripe.price_shapes import StripeFeature, StripePrice, StripeProduct, absent_price
from flux_server.stripe.prices import save_price, save_product
from flux_server.stripe.saving import end_subscription, save_subscriptions
from flux_server.stripe.shapes import StripeCheckout, StripeCustomer, StripeMeter, StripeSubscription
from flux_server.stripe.sweeps import is_sweeping, last_sweep, start_sweep
from flux_server.stripe.tables import stripe_subscriptions

__all__ = ["MANY", "sync_due"]

MANY: Final = 200
"""So many marked subscriptions are read one by one; more by a sweep, where that takes fewer calls."""

_ACTOR: Final = "Stripe"  # as the history names it
_AT_ONCE: Final = 32  # calls of one kind under way: those that hang must leave room
_AHEAD: Final = 0.5  # seconds: what is claimed longer before its turn, nobody else can do
_LOOK_AGAIN: Final = 1.0
_BETWEEN_SWEEPS: Final = 300  # what a sweep could not settle is not for the next one either
_PAGE: Final = 100
_log = structlog.get_logger("flux.stripe")


async def sync_due(connector: Connector) -> bool:
    """Read and save every object whose time has come, until none is left; answer whether there were any."""
    return await run_side_by_side(
        _Reads(connector).take, connector.database.bell, DIRTY_TOPIC, look_again=_LOOK_AGAIN
    )


class _Reads:
    """What is under way, by environment and type."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def take(self) -> Pieces:
        """Claim what may be read now."""
        now = self._connector.clock()
        async with self._connector.database.read() as connection:
            kinds = await due_kinds(connection, now)
        work, waits = [], []
        for kind in kinds:
            room = min(kind.count, _AT_ONCE - self._under_way[kind.environment, kind.type])
            if room <= 0 or await self._is_swept(kind, now):
                continue
            async with self._connector.database.write(_ACTOR) as connection:
                turns = await self._reserve(connection, kind, room)
                claims = await claim_due(connection, kind.environment, kind.type, now, turns.count)
            self._under_way[kind.environment, kind.type] += len(claims)
            work += [partial(self._read, claim, turns.moment(place)) for place, claim in enumerate(claims)]
            if len(claims) < kind.count and len(claims) < room:
                waits.append(turns.moment(turns.count) - _AHEAD - self._connector.pace())
        return Pieces(tuple(work), max(0.01, min(waits)) if waits else None)

    async def _reserve(self, connection: AsyncConnection, kind: DueKind, wanted: int) -> Turns:
        pace = self._connector.pace()
        return await reserve(
            connection, kind.environment, endpoint_of(kind.type), wanted, pace=pace, within=_AHEAD
        )

    async def _is_swept(self, kind: DueKind, now: float) -> bool:
        """Leave very many subscriptions to a sweep."""
        if kind.type != "subscription" or kind.count <= MANY:
            return False
        async with self._connector.database.read() as connection:
            if await is_sweeping(connection, kind.environment):
                return True
            last = await last_sweep(connection, kind.environment, "many-dirty")
            if last is not None and (last.finished_at or now) > now - _BETWEEN_SWEEPS:
                return False
            mine = stripe_subscriptions.c.environment == kind.environment
            known = select(func.count()).select_from(stripe_subscriptions).where(mine)
            pages = 1 + (await connection.execute(known)).scalar_one() // _PAGE
        if pages >= kind.count:
            return False
        async with self._connector.database.write(_ACTOR) as connection:
            await start_sweep(connection, kind.environment, "many-dirty", now)
        return True

    async def _read(self, claim: Claim, turn: float) -> None:
        try:
            if claim.object != ALL_SUBSCRIPTIONS:
                await self._connector.await_turn(claim.environment, endpoint_of(claim.object.type), turn)
            await _sync(self._connector, claim)
        finally:
            self._under_way[claim.environment, claim.object.type] -= 1


async def _sync(connector: Connector, claim: Claim) -> None:
    try:
        await _read_and_save(connector, claim)
    except KeyRefusedError as error:
        await _on_refused_key(connector, claim, error)
    except TemporaryError as error:
        connector.note_answer(claim.environment, error)
        await connector.hold_back(claim.environment, endpoint_of(claim.object.type), error)
        await _put_back(connector, claim, error, at_least=error.retry_after)
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


async def _put_back(connector: Connector, claim: Claim, error: Exception, *, at_least: float = 0) -> None:
    delay = retry_delay(claim.attempts, connector.chance(), at_least=at_least)
    async with connector.database.write(_ACTOR) as connection:
        await put_back(connection, claim, str(error)[:500], not_before=int(connector.clock()) + delay)


async def _save_subscription(
    connection: AsyncConnection, claim: Claim, found: StripeSubscription | None, now: float
) -> int | None:
    environment, name = claim.environment, claim.object.id
    if found is None:
        saved = await end_subscription(connection, environment, name, claim.read, now)
    else:
        saved = await save_subscriptions(connection, environment, [found], claim.read, now)
    return saved.looks.get(name)


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


async def _fetch_nothing(_: StripeApi, __: str) -> None:
    """All subscriptions are not one object: a sweep reads them."""


async def _start_sweep(connection: AsyncConnection, claim: Claim, _: None, now: float) -> None:
    await start_sweep(connection, claim.environment, "lost-events", now)


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
    ALL_SUBSCRIPTIONS.type: _Reader(_fetch_nothing, _start_sweep),
    "invoice": _Reader(StripeApi.invoice_subscriptions, mark_subscriptions, needed=False),
    "subscription_schedule": _Reader(StripeApi.schedule_subscriptions, mark_subscriptions, needed=False),
}
