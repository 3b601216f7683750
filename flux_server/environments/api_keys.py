"""API keys: shown once, stored as hashes, each with one scope in one environment."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Literal, cast, get_args

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import announce
from flux_server.environments.environments import read_environment
from flux_server.environments.tables import api_keys
from flux_server.errors import InvalidRequestError, NotFoundError

__all__ = [
    "API_KEYS_TOPIC",
    "ApiKey",
    "Scope",
    "count_revoked",
    "create_api_key",
    "find_api_key",
    "is_live",
    "list_api_keys",
    "revoke_api_key",
]

API_KEYS_TOPIC = "api-keys"
"""Rings when a key was revoked."""

Scope = Literal["sdk", "read", "admin"]

_SECRET = re.compile(r"flux_[a-z0-9-]{1,32}_[A-Za-z0-9_-]{43}\Z")
_SHOWN_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret; `prefix` is the part that may be shown."""

    id: str
    environment: str
    name: str
    scope: Scope
    prefix: str
    created_at: int
    revoked_at: int | None


async def create_api_key(
    connection: AsyncConnection, environment: str, *, name: str, scope: str, now: float
) -> tuple[ApiKey, str]:
    """Make a key; return it with its secret, which cannot be read again."""
    if scope not in get_args(Scope):
        raise InvalidRequestError(f"a key's scope is one of {', '.join(get_args(Scope))}, not {scope!r:.100}")
    if not 1 <= len(name) <= 255:
        raise InvalidRequestError("a key's name has 1 to 255 characters; name it after who will use it")
    await read_environment(connection, environment)
    stem = f"flux_{environment}_"
    secret = stem + secrets.token_urlsafe(32)
    key = ApiKey(
        id=uuid.uuid4().hex,
        environment=environment,
        name=name,
        scope=cast("Scope", scope),
        prefix=secret[: len(stem) + _SHOWN_CHARACTERS],
        created_at=int(now),
        revoked_at=None,
    )
    await connection.execute(
        insert(api_keys).values(
            id=key.id,
            environment=environment,
            name=name,
            scope=scope,
            prefix=key.prefix,
            digest=_digest(secret),
            created_at=key.created_at,
        )
    )
    return key, secret


async def find_api_key(connection: AsyncConnection, secret: str) -> ApiKey | None:
    """Return the live key of this secret; None if it is unknown or revoked."""
    if not _SECRET.match(secret):
        return None
    query = select(api_keys).where(api_keys.c.digest == _digest(secret), api_keys.c.revoked_at.is_(None))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _api_key(row)


async def is_live(connection: AsyncConnection, key: str) -> bool:
    """Say whether the key of this id is still good."""
    query = select(api_keys.c.id).where(api_keys.c.id == key, api_keys.c.revoked_at.is_(None))
    return (await connection.execute(query)).first() is not None


async def count_revoked(connection: AsyncConnection) -> int:
    """Return how many keys were ever revoked."""
    query = select(func.count()).where(api_keys.c.revoked_at.is_not(None))
    return int((await connection.execute(query)).scalar_one())


async def list_api_keys(
    connection: AsyncConnection,
    environment: str,
    *,
    after: tuple[int, str] | None = None,
    limit: int | None = None,
) -> tuple[ApiKey, ...]:
    """Return keys, newest first, revoked ones included: all, or `limit` of those after (`created_at`, `id`)."""
    query = select(api_keys).where(api_keys.c.environment == environment)
    if after is not None:
        moment, key = after
        same = (api_keys.c.created_at == moment) & (api_keys.c.id > key)
        query = query.where((api_keys.c.created_at < moment) | same)
    query = query.order_by(api_keys.c.created_at.desc(), api_keys.c.id).limit(limit)
    return tuple(_api_key(row) for row in await connection.execute(query))


async def revoke_api_key(connection: AsyncConnection, environment: str, key: str, *, now: float) -> None:
    """Refuse the key from now on; streams that it opened end. Revoking twice is as good as once.

    Raises:
        NotFoundError: the environment has no such key.
    """
    mine = (api_keys.c.environment == environment) & (api_keys.c.id == key)
    if (await connection.execute(select(api_keys.c.id).where(mine))).first() is None:
        raise NotFoundError(f"there is no API key {key!r:.100} in environment {environment!r}")
    await connection.execute(
        update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=int(now))
    )
    announce(connection, API_KEYS_TOPIC)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _api_key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        environment=row.environment,
        name=row.name,
        scope=row.scope,
        prefix=row.prefix,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
