"""The history: who changed what, when, and how it stood from then on. Rows are only ever added.

A row holds the whole state of its subject, so how anything stood at a past moment is one row, and what a change
changed is that row and the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import actor_of
from flux_server.environments.tables import history

__all__ = ["Entry", "Kind", "note", "note_all", "read_history", "states_at"]

Kind = Literal["feature", "metric", "plan", "settings", "organization", "record"]
"""What has a history: of an organization, `organization` is its name and `record` what it is entitled by."""

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
    await note_all(connection, environment, [(kind, subject, state)], now)


async def note_all(
    connection: AsyncConnection, environment: str, states: Sequence[tuple[Kind, str, object]], now: float
) -> None:
    """Note many changes of the transaction's actor at once, each a kind, a subject and how it stands from now on."""
    actor = actor_of(connection)[:_ACTOR_LENGTH]
    rows = [
        {
            "environment": environment,
            "at": int(now),
            "actor": actor,
            "kind": kind,
            "subject": subject,
            "state": None if state is None else msgspec.json.encode(state).decode(),
        }
        for kind, subject, state in states
    ]
    if rows:
        await connection.execute(insert(history), rows)


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
    rows = await connection.execute(
        select(history, previous.label("before"))
        .where(*conditions)
        .order_by(history.c.id.desc())
        .limit(limit)
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
