"""The log of events: what Stripe sent, and what was found in its list; searched, read one by one, kept a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, delete, func, literal_column, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.environments import list_environments
from flux_server.errors import NotFoundError
from flux_server.stripe.connector import Connector
from flux_server.stripe.tables import stripe_events, stripe_subscriptions

__all__ = [
    "EventSearch",
    "LoggedEvent",
    "prune_due",
    "prune_events",
    "read_event",
    "search_events",
]

_FORGOTTEN_AT_ONCE: Final = 10_000
_DAY: Final = 86_400
_columns = stripe_events.c
_SHOWN: Final = tuple(column for column in _columns if column.name not in ("environment", "body"))


@dataclass(frozen=True, slots=True)
class EventSearch:
    """Which events are wanted: all that fit everything given here.

    `about` is the id of an event, of its object or of its customer; `since` and `until` say when it came; `missed`
    leaves only those whose webhook never came, which were found in Stripe's list.
    """

    about: str = ""
    type: str = ""
    since: int | None = None
    until: int | None = None
    missed: bool = False


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event; without deliveries its webhook never came. `kind` says how it was told: snapshot or thin."""

    id: str
    type: str
    object_type: str | None
    object_id: str | None
    customer: str | None
    created_at: int
    received_at: int
    deliveries: int
    kind: str
    api_version: str | None


async def search_events(
    connection: AsyncConnection,
    environment: str,
    search: EventSearch,
    *,
    before: tuple[int, str] | None = None,
    limit: int,
) -> tuple[LoggedEvent, ...]:
    """Return the events that are wanted, those that came last first, `before` what the page before ended with."""
    wanted = [_columns.environment == environment, *_conditions(search)]
    if before is not None:
        wanted.append(tuple_(_columns.received_at, _columns.id) < before)
    if search.about:
        # Each way to be about something has an index of its own, which an OR over them would not use.
        ways = [select(*_SHOWN).where(*wanted, way) for way in _ways_to_be_about(environment, search.about)]
        found = union(*ways).subquery()
        query = select(found).order_by(found.c.received_at.desc(), found.c.id.desc())
    else:
        query = select(*_SHOWN).where(*wanted).order_by(_columns.received_at.desc(), _columns.id.desc())
    rows = await connection.execute(query.limit(limit))
    return tuple(LoggedEvent(**row._mapping) for row in rows)


def _conditions(search: EventSearch) -> Iterator[ColumnElement[bool]]:
    if search.type:
        yield _columns.type == search.type
    if search.since is not None:
        yield _columns.received_at >= search.since
    if search.until is not None:
        yield _columns.received_at < search.until
    if search.missed:
        yield _columns.deliveries == literal_column("0")  # written out: there is an index of such rows only


def _ways_to_be_about(environment: str, name: str) -> tuple[ColumnElement[bool], ...]:
    known = stripe_subscriptions.c
    theirs = select(known.id).where(known.environment == environment, known.customer == name)
    return (
        _columns.id == name,
        _columns.object_id == name,
        _columns.customer == name,
        _columns.object_id.in_(theirs),
    )


async def read_event(connection: AsyncConnection, environment: str, event: str) -> tuple[LoggedEvent, bytes]:
    """Return the event, and its body as it came.

    Raises:
        NotFoundError: there is none of this id, or none any more.
    """
    mine = (_columns.environment == environment) & (_columns.id == event)
    row = (await connection.execute(select(*_SHOWN, _columns.body).where(mine))).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no event {event!r:.100} here; it never came, or is older than events are kept"
        )
    fields = dict(row._mapping)
    return LoggedEvent(**{name: fields[name] for name in LoggedEvent.__slots__}), fields["body"]


async def prune_events(
    connection: AsyncConnection, environment: str, *, before: int, most: int = _FORGOTTEN_AT_ONCE
) -> bool:
    """Forget events that came before then, the oldest first and some at a time; return whether there may be more."""
    mine = _columns.environment == environment
    oldest = select(_columns.received_at).where(mine, _columns.received_at < before)
    some = oldest.order_by(_columns.received_at).limit(most).subquery()
    last = (await connection.execute(select(func.max(some.c.received_at)))).scalar_one()
    if last is None:
        return False
    forgotten = await connection.execute(delete(stripe_events).where(mine, _columns.received_at <= last))
    return int(forgotten.rowcount) >= most


async def prune_due(connector: Connector) -> bool:
    """Forget some of the events that are older than they are to be kept; answer whether there may be more."""
    before = int(connector.clock()) - connector.settings.event_days * _DAY
    async with connector.database.write() as connection:
        environments = await list_environments(connection)
        more = [await prune_events(connection, each.key, before=before) for each in environments]
    return any(more)
