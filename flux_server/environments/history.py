"""The history: who changed what, when, and how it stood from then on.

Rows are only ever added, and taken away only of an organization that is to be forgotten. A row holds the whole
state of its subject, so how anything stood at a past moment is one row, and what a change changed is that row
and the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import actor_of
from flux_server.environments.tables import history

__all__ = ["Entry", "Kind", "forget", "note", "note_all", "read_history", "states_at"]

Kind = Literal["feature", "metric", "plan", "settings", "organization", "record", "customers"]
"""What has a history.

Of an organization, `organization` is its name, `record` what it is entitled by, `customers` who it is to the
payment processor.
"""

_ACTOR_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: the JSON of its subject before and after it, None where there was no such subject."""

    id: int
    at: int
    actor: str
    kind: Kind
    subject: str
    before: str | None
    after: str | None


async def note(
    connection: AsyncConnection, environment: str, kind: Kind, subject: str, state: object, now: float
) -> None:
    """Note that the transaction's actor changes the subject, which from now on stands as `state`; None: is gone."""
    await note_all(connection, environment, kind, {subject: state}, now)


async def note_all(
    connection: AsyncConnection, environment: str, kind: Kind, states: Mapping[str, object], now: float
) -> None:
    """Note, as `note` does, several subjects at once, by subject."""
    noted = [
        {
            "environment": environment,
            "at": int(now),
            "actor": actor_of(connection)[:_ACTOR_LENGTH],
            "kind": kind,
            "subject": subject,
            "state": None if state is None else msgspec.json.encode(state).decode(),
        }
        for subject, state in states.items()
    ]
    if noted:
        await connection.execute(insert(history), noted)


async def forget(connection: AsyncConnection, environment: str, kinds: Iterable[Kind], subject: str) -> None:
    """Take away everything that was noted of the subject."""
    of_subject = (history.c.environment == environment) & (history.c.subject == subject)
    await connection.execute(delete(history).where(of_subject, history.c.kind.in_(list(kinds))))


async def read_history(
    connection: AsyncConnection,
    environment: str,
    *,
    kinds: Iterable[Kind],
    subject: str | None = None,
    before: int | None = None,
    limit: int,
) -> tuple[Entry, ...]:
    """Return changes, newest first: of one subject or of all, those with ids below `before`."""
    earlier = history.alias()
    previous = (
        select(earlier.c.state)
        .where(
            earlier.c.environment == environment,
            earlier.c.kind == history.c.kind,
            earlier.c.subject == history.c.subject,
            earlier.c.id < history.c.id,
        )
        .order_by(earlier.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    conditions: list[Any] = [history.c.environment == environment, history.c.kind.in_(list(kinds))]
    if subject is not None:
        conditions.append(history.c.subject == subject)
    if before is not None:
        conditions.append(history.c.id < before)
    # As a sum, so that SQLite finds one subject's changes first, and does not go through all there are in order.
    order = history.c.id if subject is None else history.c.id + 0
    rows = await connection.execute(
        select(history, previous.label("before")).where(*conditions).order_by(order.desc()).limit(limit)
    )
    return tuple(
        Entry(row.id, row.at, row.actor, row.kind, row.subject, row.before, row.state) for row in rows
    )


async def states_at(
    connection: AsyncConnection,
    environment: str,
    kinds: Iterable[Kind],
    moment: float,
    *,
    subject: str | None = None,
) -> dict[tuple[Kind, str], str]:
    """Return the JSON of everything that there was at `moment`, by kind and subject."""
    conditions: list[Any] = [
        history.c.environment == environment,
        history.c.kind.in_(list(kinds)),
        history.c.at <= int(moment),
    ]
    if subject is not None:
        conditions.append(history.c.subject == subject)
    newest = select(func.max(history.c.id)).where(*conditions).group_by(history.c.kind, history.c.subject)
    rows = await connection.execute(
        select(history.c.kind, history.c.subject, history.c.state).where(
            history.c.id.in_(newest), history.c.state.is_not(None)
        )
    )
    return {(row.kind, row.subject): row.state for row in rows}
