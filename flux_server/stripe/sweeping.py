"""Going through all of an account's subscriptions, so that what no webhook told is found, told and repaired.

Each page is read under one number and saved in one transaction with the sweep's progress. What Flux knows and no
page has shown is read by itself before it is held for gone. Marks that a page answers are cleared, unless they were
renewed since: a sweep of a hundred subscriptions a call settles what single reads could not keep up with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.revisions import lock
from flux_server.jobs.side_by_side import Pieces, run_side_by_side
from flux_server.stripe.active_entitlements import mark_entitlements
from flux_server.stripe.client import StripeApi
from flux_server.stripe.connector import Connector
from flux_server.stripe.customers import differing_customers, read_customer_rows, save_new_customers
from flux_server.stripe.dirty import look_again, mark, marked_versions, number_reads
from flux_server.stripe.drift import Difference, Drift, save_drift
from flux_server.stripe.errors import (
    AbsentError,
    AnswerError,
    CallError,
    KeyRefusedError,
    RefusedError,
    TemporaryError,
)
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.link import pause_link
from flux_server.stripe.pacing import retry_delay
from flux_server.stripe.saving import Saved, end_subscription, note_read, save_subscriptions
from flux_server.stripe.shapes import StripeSubscription, SubscriptionPage
from flux_server.stripe.sweeps import (
    SWEEPS_TOPIC,
    SweepClaim,
    claim_sweep,
    end_sweep,
    holds_sweep,
    move_on,
    next_unfinished,
    put_sweep_back,
    unseen,
    was_swept,
)

__all__ = ["sweep_due"]

_ACTOR: Final = "Stripe"
_ENDPOINT: Final = "subscriptions"
_LOOK_AGAIN: Final = 5.0
_PAGES_A_LOOK: Final = 20  # so many pages may go by before the marks are looked at again
_UNSEEN_AT_ONCE: Final = 20
_log = structlog.get_logger("flux.stripe")


async def sweep_due(connector: Connector) -> bool:
    """Go on with every sweep that can be gone on with; answer whether there were any."""

    async def take() -> Pieces:
        now = connector.clock()
        async with connector.database.read() as connection:
            _, is_due = await next_unfinished(connection, now)
        if not is_due:
            return Pieces()
        async with connector.database.write() as connection:
            claim = await claim_sweep(connection, now)
        return Pieces() if claim is None else Pieces((partial(_sweep, connector, claim),))

    return await run_side_by_side(take, connector.database.bell, SWEEPS_TOPIC, look_again=_LOOK_AGAIN)


async def _sweep(connector: Connector, claim: SweepClaim) -> None:
    try:
        await _Sweeping(connector, await connector.api(claim.environment), claim).run()
    except KeyRefusedError as error:
        await _put_back(connector, claim, error)
        async with connector.database.write(_ACTOR) as connection:
            await pause_link(connection, claim.environment, f"Stripe refuses the key: {error}")
        _log.error("link to Stripe paused", environment=claim.environment, reason=str(error))
    except TemporaryError as error:
        connector.note_answer(claim.environment, error)
        await connector.hold_back(claim.environment, _ENDPOINT, error)
        await _put_back(connector, claim, error, at_least=error.retry_after)
    except Exception as error:
        # A sweep's boundary: whatever is wrong with it, those of other environments go on.
        _log.warning(
            "sweep failed, will be gone on with",
            environment=claim.environment,
            reason=str(error),
            exc_info=None if isinstance(error, CallError) else error,
        )
        await _put_back(connector, claim, error)


async def _put_back(
    connector: Connector, claim: SweepClaim, error: Exception, *, at_least: float = 0
) -> None:
    delay = retry_delay(claim.attempts + 1, connector.chance(), at_least=at_least)
    async with connector.database.write(_ACTOR) as connection:
        await put_sweep_back(connection, claim, str(error)[:500], not_before=int(connector.clock()) + delay)


class _LostClaimError(Exception):
    """Somebody else goes on with this sweep."""


class _Sweeping:
    """One process's part of a sweep."""

    def __init__(self, connector: Connector, api: StripeApi, claim: SweepClaim) -> None:
        self._connector = connector
        self._api = api
        self._claim = claim
        self._versions: dict[str, int] = {}
        self._is_first = False

    async def run(self) -> None:
        """Read page after page, then what none of them showed."""
        async with self._connector.database.read() as connection:
            self._is_first = not await was_swept(connection, self._claim.environment)
        try:
            pages = 0
            while not self._claim.listed:
                if pages % _PAGES_A_LOOK == 0:
                    self._versions = await self._marked()
                await self._next_page()
                pages += 1
            while await self._next_unseen():
                pass
        except _LostClaimError:
            return
        async with self._connector.database.write(_ACTOR) as connection:
            await end_sweep(connection, self._claim, self._connector.clock())

    async def _marked(self) -> dict[str, int]:
        async with self._connector.database.read() as connection:
            now = self._connector.clock()
            return await marked_versions(connection, self._claim.environment, "subscription", now)

    async def _next_page(self) -> None:
        read = await self._begin_read()
        try:
            page = await self._api.subscription_page(self._claim.after)
        except (AbsentError, RefusedError):
            if self._claim.after is None:
                raise
            # Another account may answer than the one that the sweep began with.
            self._claim = replace(self._claim, after=None)
            return
        self._connector.note_answer(self._claim.environment, None)
        await self._save_page(page, read)
        self._claim = replace(self._claim, after=page.last, listed=not page.has_more)

    async def _begin_read(self) -> int:
        """Wait for a turn, then take the number of a read that begins now."""
        claim, connector = self._claim, self._connector
        await connector.turn(claim.environment, _ENDPOINT)
        async with connector.database.write(_ACTOR) as connection:
            if not await holds_sweep(connection, claim, connector.clock()):
                raise _LostClaimError
            read = await number_reads(connection, claim.environment, 1)
            if claim.read is None:
                self._claim = replace(claim, read=read)
                await move_on(connection, claim, seen=0, drifted=0, read=read)
        return read

    async def _save_page(self, page: SubscriptionPage, read: int) -> None:
        claim, now = self._claim, self._connector.clock()
        environment = claim.environment
        async with self._connector.database.write(_ACTOR) as connection:
            await lock(connection, environment)
            if not await holds_sweep(connection, claim, now):
                raise _LostClaimError
            customers = await self._save_customers(connection, page, now)
            saved = await save_subscriptions(connection, environment, page.found, read, now)
            marked = await look_again(
                connection, environment, "subscription", dict(saved.looks), self._versions, now
            )
            await mark(
                connection, environment, (ObjectRef("subscription", name) for name in page.unread), now
            )
            drift = [*customers, *_drift(saved, marked, is_first=self._is_first)]
            drifted = await save_drift(connection, environment, claim.sweep, drift, now)
            progress = {"after": page.last, "listed": not page.has_more}
            seen = len(page.found) + len(page.unread)
            await move_on(connection, claim, seen=seen, drifted=drifted, **progress)
        self._connector.on_drift(environment, drifted)

    async def _save_customers(
        self, connection: AsyncConnection, page: SubscriptionPage, now: float
    ) -> list[Drift]:
        """Save customers that are new; have those read again that are not as Flux believed."""
        environment = self._claim.environment
        known = await read_customer_rows(connection, environment, page.customers)
        new = [customer for name, customer in page.customers.items() if name not in known]
        await save_new_customers(connection, environment, new, now)
        await mark_entitlements(connection, environment, page.customers, now)
        changes = await differing_customers(connection, environment, page.customers.values())
        marked = await marked_versions(connection, environment, "customer", now) if changes else {}
        # A read of its own, under its claim: a page has no say about customers that others may read meanwhile.
        await mark(connection, environment, (ObjectRef("customer", name) for name in changes), now)
        return [
            Drift(
                "customer", name, after or before, (Difference("organization", before, after),), None, "saved"
            )
            for name, (before, after) in sorted(changes.items())
            if name not in marked
        ]

    async def _next_unseen(self) -> bool:
        """Read some of the subscriptions that no page has shown; answer whether there were any."""
        if self._claim.read is None:
            return False
        async with self._connector.database.read() as connection:
            names = await unseen(connection, self._claim.environment, self._claim.read, _UNSEEN_AT_ONCE)
        for name in names:
            read = await self._begin_read()
            try:
                found = await self._api.subscription(name)
            except AbsentError:
                found = None
            except AnswerError:
                await self._leave(name, read)
                continue
            await self._save_unseen(name, found, read)
        return bool(names)

    async def _leave(self, name: str, read: int) -> None:
        """Leave a subscription that cannot be understood to those who read it alone, and who tell why."""
        environment, now = self._claim.environment, self._connector.clock()
        async with self._connector.database.write(_ACTOR) as connection:
            await lock(connection, environment)
            await note_read(connection, environment, [name], read, now)
            await mark(connection, environment, [ObjectRef("subscription", name)], now)

    async def _save_unseen(self, name: str, found: StripeSubscription | None, read: int) -> None:
        claim, now = self._claim, self._connector.clock()
        async with self._connector.database.write(_ACTOR) as connection:
            await lock(connection, claim.environment)
            if not await holds_sweep(connection, claim, now):
                raise _LostClaimError
            if found is None:
                saved = await end_subscription(connection, claim.environment, name, read, now)
            else:
                saved = await save_subscriptions(connection, claim.environment, [found], read, now)
            marked = await look_again(
                connection, claim.environment, "subscription", dict(saved.looks), self._versions, now
            )
            drift = _drift(saved, marked, is_first=False)
            drifted = await save_drift(connection, claim.environment, claim.sweep, drift, now)
            await move_on(connection, claim, seen=1, drifted=drifted)
        self._connector.on_drift(claim.environment, drifted)


def _drift(saved: Saved, marked: Iterable[str], *, is_first: bool) -> list[Drift]:
    """Return what nobody had told; at first, that there are subscriptions is no news."""
    known = frozenset(marked)
    return [
        change
        for change in saved.changes
        if change.differences
        and change.object_id not in known
        and not (is_first and change.repair == "added")
    ]
