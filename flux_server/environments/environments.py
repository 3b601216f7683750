"""Environments: the unit of isolation that every key, plan and organization belongs to exactly one of."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import StatusPolicy, decode, encode
from flux_server.database import insert
from flux_server.environments.history import note
from flux_server.environments.tables import environments, revisions
from flux_server.errors import InvalidRequestError, NotFoundError

__all__ = [
    "Environment",
    "ensure_environment",
    "list_environments",
    "note_settings",
    "read_environment",
    "renew_instance",
]

_KEY = re.compile(r"[a-z0-9-]{1,32}\Z")


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment and what holds for all its organizations.

    `instance` names this very database's environment: a host that followed another one must start afresh.
    """

    key: str
    instance: str
    created_at: int
    default_plan: str | None
    policy: StatusPolicy


async def ensure_environment(connection: AsyncConnection, key: str, now: float) -> Environment:
    """Make the environment if it is new, and return it."""
    if not _KEY.match(key):
        raise InvalidRequestError(f"an environment's key is 1 to 32 of a-z, 0-9 and '-', not {key!r:.100}")
    values = {
        "key": key,
        "instance": uuid.uuid4().hex,
        "created_at": int(now),
        "policy": encode(StatusPolicy()).decode(),
    }
    made = await connection.execute(insert(connection, environments).values(values).on_conflict_do_nothing())
    logs = [{"environment": key, "log": log, "value": 0} for log in ("changes", "usage")]
    await connection.execute(insert(connection, revisions).values(logs).on_conflict_do_nothing())
    if made.rowcount:
        await note_settings(connection, key, now)
    return await read_environment(connection, key)


async def note_settings(connection: AsyncConnection, environment: str, now: float) -> None:
    """Note in the history what holds from now on for all the environment's organizations."""
    present = await read_environment(connection, environment)
    state = {"default_plan": present.default_plan, "policy": present.policy}
    await note(connection, environment, "settings", "", state, now)


async def read_environment(connection: AsyncConnection, key: str) -> Environment:
    """Return the environment.

    Raises:
        NotFoundError: there is none of this key.
    """
    row = (await connection.execute(select(environments).where(environments.c.key == key))).one_or_none()
    if row is None:
        known = ", ".join(environment.key for environment in await list_environments(connection))
        raise NotFoundError(f"there is no environment {key!r:.100}; there are {known}")
    return _environment(row)


async def renew_instance(connection: AsyncConnection, key: str) -> None:
    """Have every host start afresh when it reconnects: this database's history is not the one that it followed."""
    mine = environments.c.key == key
    await connection.execute(update(environments).where(mine).values(instance=uuid.uuid4().hex))


async def list_environments(connection: AsyncConnection) -> tuple[Environment, ...]:
    """Return every environment, in the order of their keys."""
    rows = await connection.execute(select(environments).order_by(environments.c.key))
    return tuple(_environment(row) for row in rows)


def _environment(row: Row[tuple[object, ...]]) -> Environment:
    return Environment(
        key=row.key,
        instance=row.instance,
        created_at=row.created_at,
        default_plan=row.default_plan,
        policy=decode(row.policy, StatusPolicy),
    )
