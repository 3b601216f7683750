"""The revision log: what followers must look at again, in the order of commits.

A revision is taken under the environment's row lock inside the transaction that makes the change, so the order
of revisions is the order of commits: whoever has seen revision N will find every later change above N. Whatever
writes something that followers see takes that lock *first* (`lock`): writers of one environment then queue up
instead of deadlocking, and none of them works on what another is about to replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import announce
from flux_server.environments.tables import changes, revisions

__all__ = [
    "ChangedSubject",
    "advance",
    "advance_organizations",
    "advance_usage",
    "all_revisions",
    "catalog_revision",
    "changes_since",
    "current_revision",
    "lock",
    "oldest_revision",
    "prune_changes",
    "revision_topics",
]

Log = Literal["changes", "usage"]


@dataclass(frozen=True, slots=True)
class ChangedSubject:
    """At `revision` the catalog, or one organization, changed."""

    revision: int
    kind: Literal["catalog", "organization"]
    organization: str | None = None


def revision_topics(environment: str) -> tuple[str, str]:
    """Return the bell's topics that ring when the environment's changes, or its usage, moved on."""
    return f"changes:{environment}", f"usage:{environment}"


async def lock(connection: AsyncConnection, environment: str, log: Log = "changes") -> None:
    """Wait until no other transaction is writing to the environment's log, and keep others out until the end."""
    await connection.execute(
        select(revisions.c.value)
        .where(revisions.c.environment == environment, revisions.c.log == log)
        .with_for_update()
    )


async def advance(
    connection: AsyncConnection,
    environment: str,
    *,
    kind: Literal["catalog", "organization"],
    organization: str | None = None,
    now: float,
) -> int:
    """Note that the catalog, or an organization, changes in this transaction; return the new revision."""
    revision = await _advance(connection, environment, "changes")
    await connection.execute(
        insert(changes).values(
            environment=environment, revision=revision, kind=kind, organization=organization, at=int(now)
        )
    )
    announce(connection, f"changes:{environment}")
    return revision


async def advance_organizations(
    connection: AsyncConnection, environment: str, organizations: Sequence[str], now: float
) -> dict[str, int]:
    """Note that each of the organizations changes in this transaction; return their new revisions."""
    if not organizations:
        return {}
    newest = await _advance(connection, environment, "changes", len(organizations))
    taken = dict(zip(organizations, range(newest - len(organizations) + 1, newest + 1), strict=True))
    await connection.execute(
        insert(changes),
        [
            {
                "environment": environment,
                "revision": revision,
                "kind": "organization",
                "organization": organization,
                "at": int(now),
            }
            for organization, revision in taken.items()
        ],
    )
    announce(connection, f"changes:{environment}")
    return taken


async def advance_usage(connection: AsyncConnection, environment: str) -> int:
    """Note that usage standings change in this transaction; return the new usage revision."""
    revision = await _advance(connection, environment, "usage")
    announce(connection, f"usage:{environment}")
    return revision


async def _advance(connection: AsyncConnection, environment: str, log: Log, steps: int = 1) -> int:
    result = await connection.execute(
        update(revisions)
        .where(revisions.c.environment == environment, revisions.c.log == log)
        .values(value=revisions.c.value + steps)
        .returning(revisions.c.value)
    )
    return int(result.scalar_one())


async def current_revision(connection: AsyncConnection, environment: str, log: Log = "changes") -> int:
    """Return the newest revision of the environment's log."""
    query = select(revisions.c.value).where(revisions.c.environment == environment, revisions.c.log == log)
    return int((await connection.execute(query)).scalar_one())


async def all_revisions(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Return the newest revision of every log, by (environment, log)."""
    rows = await connection.execute(select(revisions.c.environment, revisions.c.log, revisions.c.value))
    return {(environment, log): value for environment, log, value in rows}


async def oldest_revision(connection: AsyncConnection, environment: str) -> int:
    """Return the oldest revision from which a follower can still go on; below it, it needs a new snapshot."""
    query = select(func.min(changes.c.revision)).where(changes.c.environment == environment)
    oldest = (await connection.execute(query)).scalar_one()
    return await current_revision(connection, environment) if oldest is None else int(oldest) - 1


async def catalog_revision(connection: AsyncConnection, environment: str) -> int:
    """Return the newest revision at which the catalog changed; 0 if the log does not reach back that far."""
    query = select(func.max(changes.c.revision)).where(
        changes.c.environment == environment, changes.c.kind == "catalog"
    )
    return int((await connection.execute(query)).scalar_one() or 0)


async def changes_since(
    connection: AsyncConnection, environment: str, revision: int, limit: int
) -> tuple[ChangedSubject, ...]:
    """Return what changed after `revision`, oldest first, at most `limit` changes."""
    rows = await connection.execute(
        select(changes.c.revision, changes.c.kind, changes.c.organization)
        .where(changes.c.environment == environment, changes.c.revision > revision)
        .order_by(changes.c.revision)
        .limit(limit)
    )
    return tuple(ChangedSubject(row.revision, row.kind, row.organization) for row in rows)


async def prune_changes(connection: AsyncConnection, environment: str, *, keep: int) -> int:
    """Forget all but the newest `keep` changes; return how many were forgotten."""
    newest = await current_revision(connection, environment)
    result = await connection.execute(
        delete(changes).where(changes.c.environment == environment, changes.c.revision <= newest - keep)
    )
    return int(result.rowcount)
