"""Looking through Stripe's own list of events for those whose webhooks never came.

What is found there goes the way of a webhook: it is stored, and what it is about is marked. Stripe keeps the list for
thirty days; who was away for longer, a sweep brings up to date.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import one_of
from flux_server.environments.revisions import lock
from flux_server.stripe.arrivals import Arrival, store_events
from flux_server.stripe.connector import Connector
from flux_server.stripe.dirty import mark
from flux_server.stripe.errors import CallError, KeyRefusedError, TemporaryError
from flux_server.stripe.events import FOLLOWED_TYPES, StripeEvent, changed_objects, parse_event
from flux_server.stripe.link import pause_link
from flux_server.stripe.sweeps import start_sweep
from flux_server.stripe.tables import stripe_events, stripe_links

__all__ = ["EVENTS_EVERY", "MissedEvents"]

EVENTS_EVERY: Final = 900
"""Seconds after which the list is looked through again."""

_ACTOR: Final = "Stripe"
_ENDPOINT: Final = "events"
_OVERLAP: Final = 3_600  # events appear in the list a little later than they say
_KEPT: Final = 30 * 86_400
_WINDOW: Final = 86_400  # looked through at once; what was found so far is not lost if that is cut off
_TYPES_AT_ONCE: Final = 20
_log = structlog.get_logger("flux.stripe")


@dataclass(frozen=True, slots=True)
class _Span:
    """What of an environment's list is looked through next: events created from `since` to before `until`."""

    environment: str
    since: int
    until: int
    too_old: bool


class MissedEvents:
    """Looks through the lists of all linked environments: every quarter of an hour, and when a process starts."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._looked: set[str] = set()
        self._refused: dict[str, str] = {}

    async def run(self) -> bool:
        """Look through what is due, a part of it at a time; answer whether there is more."""
        now = int(self._connector.clock())
        async with self._connector.database.read() as connection:
            spans = [span for span in await _spans(connection, now) if self._is_due(span, now)]
        more = await asyncio.gather(*(self._look(span, now) for span in spans))
        return any(more)

    def _is_due(self, span: _Span, now: int) -> bool:
        looked_until = span.since + _OVERLAP
        return span.environment not in self._looked or looked_until <= now - EVENTS_EVERY

    async def _look(self, span: _Span, now: int) -> bool:
        environment = span.environment
        try:
            found = await self._look_through(span, now)
        except TemporaryError as error:
            self._connector.note_answer(environment, error)
            await self._connector.hold_back(environment, _ENDPOINT, error)
            return False
        except KeyRefusedError as error:
            await self._on_refused_key(environment, error)
            return False
        except CallError as error:
            self._note_refused(environment, error)
            return False
        self._looked.add(environment)
        self._refused.pop(environment, None)
        if found:
            _log.warning(
                "webhooks did not come, their events were found", environment=environment, count=found
            )
        return span.until < now

    async def _look_through(self, span: _Span, now: int) -> int:
        api = await self._connector.api(span.environment)
        if span.too_old:
            async with self._connector.database.write(_ACTOR) as connection:
                await start_sweep(connection, span.environment, "lost-events", now)
        found = 0
        for types in _chunks(FOLLOWED_TYPES):
            after, has_more = None, True
            while has_more:
                await self._connector.turn(span.environment, _ENDPOINT)
                page, has_more = await api.event_page(types, span.since, span.until, after)
                found += await self._save(span.environment, page, now)
                after = page[-1]["id"] if page else None
                has_more = has_more and after is not None
        async with self._connector.database.write(_ACTOR) as connection:
            mine = stripe_links.c.environment == span.environment
            until = {"events_until": min(span.until, now)}
            await connection.execute(update(stripe_links).where(mine).values(until))
        return found

    async def _save(self, environment: str, page: Sequence[Mapping[str, Any]], now: int) -> int:
        """Store those of the events that no webhook brought, and mark what they are about."""
        bodies = {each["id"]: msgspec.json.encode(each) for each in page}
        async with self._connector.database.write(_ACTOR) as connection:
            await lock(connection, environment)
            known = await _known_events(connection, environment, bodies)
            missed = [_parsed(body) for name, body in bodies.items() if name not in known]
            events = [event for event in missed if event is not None]
            arrivals = [Arrival(environment, event, bodies[event.id], now) for event in events]
            await store_events(connection, arrivals, deliveries=0)
            objects = [ref for event in events for ref in changed_objects(event)]
            await mark(connection, environment, objects, now)
        return len(events)

    async def _on_refused_key(self, environment: str, error: KeyRefusedError) -> None:
        """A revoked key stops everything; one that may not list events only does without this net."""
        if error.status != 401:
            self._note_refused(environment, error)
            return
        async with self._connector.database.write(_ACTOR) as connection:
            await pause_link(connection, environment, f"Stripe refuses the key: {error}")
        _log.error("link to Stripe paused", environment=environment, reason=str(error))

    def _note_refused(self, environment: str, error: CallError) -> None:
        if self._refused.get(environment) != str(error):
            self._refused[environment] = str(error)
            _log.warning(
                "events cannot be listed, lost webhooks are found by the nightly sweep only",
                environment=environment,
                reason=str(error),
            )


async def _spans(connection: AsyncConnection, now: int) -> list[_Span]:
    columns = stripe_links.c
    links = await connection.execute(
        select(columns.environment, columns.events_until, columns.created_at)
        .where(columns.status == "active")
        .order_by(columns.environment)
    )
    spans = []
    for link in links:
        looked_until = link.created_at if link.events_until is None else link.events_until
        oldest = now - _KEPT
        since = max(looked_until - _OVERLAP, oldest)
        until = since + _OVERLAP + _WINDOW
        spans.append(_Span(link.environment, since, until if until < now else now + 1, looked_until < oldest))
    return spans


async def _known_events(
    connection: AsyncConnection, environment: str, ids: Mapping[str, bytes]
) -> frozenset[str]:
    mine = stripe_events.c.environment == environment
    known = select(stripe_events.c.id).where(mine, stripe_events.c.id.in_(one_of(connection, ids)))
    return frozenset((await connection.execute(known)).scalars())


def _chunks(types: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(types), _TYPES_AT_ONCE):
        yield types[start : start + _TYPES_AT_ONCE]


def _parsed(body: bytes) -> StripeEvent | None:
    try:
        return parse_event(body)
    except ValueError:
        return None
