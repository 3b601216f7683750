"""The signing secrets of a link's webhooks: several may be in force, none can be read.

Stripe signs with an old secret for up to a day after it was rolled. So one that is replaced by another of its kind
is still taken for that long, and whoever rolls a secret need not hit the moment.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert
from flux_server.errors import NotFoundError
from flux_server.stripe.secrets import SealedError, SecretBox
from flux_server.stripe.tables import stripe_webhook_secrets

__all__ = [
    "COLUMN",
    "KINDS",
    "REPLACED_FOR",
    "SecretKind",
    "WebhookSecret",
    "add_secret",
    "forget_secrets",
    "list_secrets",
    "remove_secret",
    "sealed_secrets",
]

SecretKind = Literal["snapshot", "thin"]
"""What the endpoint sends that signs with the secret: events with the object in them, or with its id alone."""

KINDS: Final[tuple[str, ...]] = get_args(SecretKind)

REPLACED_FOR: Final = 86_400
"""Seconds for which a secret is taken after another of its kind replaced it."""

COLUMN: Final = "webhook_secret"
"""What a secret is bound to when it is sealed."""

_columns = stripe_webhook_secrets.c


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A signing secret as it may be shown; one with `expires_at` was replaced."""

    id: str
    shown: str
    kind: str
    added_at: int
    expires_at: int | None


async def add_secret(
    connection: AsyncConnection,
    box: SecretBox,
    environment: str,
    secret: str,
    kind: SecretKind,
    now: float,
) -> WebhookSecret:
    """Take the secret from now on, and those of its kind that it replaces for a day. The same again is no other."""
    await connection.execute(
        delete(stripe_webhook_secrets).where(
            _columns.environment == environment, _columns.expires_at <= int(now)
        )
    )
    name = await _known(connection, box, environment, secret) or secrets.token_hex(8)
    others = and_(
        _columns.environment == environment,
        _columns.kind == kind,
        _columns.id != name,
        _columns.expires_at.is_(None),
    )
    await connection.execute(
        update(stripe_webhook_secrets).where(others).values(expires_at=int(now) + REPLACED_FOR)
    )
    values = {
        "secret": box.seal(secret, environment=environment, column=COLUMN),
        "shown": secret[-4:],
        "kind": kind,
        "expires_at": None,
    }
    await connection.execute(
        insert(connection, stripe_webhook_secrets)
        .values(environment=environment, id=name, added_at=int(now), **values)
        .on_conflict_do_update(index_elements=stripe_webhook_secrets.primary_key, set_=values)
    )
    return next(each for each in await list_secrets(connection, environment, now) if each.id == name)


async def list_secrets(
    connection: AsyncConnection, environment: str, now: float
) -> tuple[WebhookSecret, ...]:
    """Return the secrets in force, the newest first."""
    rows = await connection.execute(
        select(_columns.id, _columns.shown, _columns.kind, _columns.added_at, _columns.expires_at)
        .where(_columns.environment == environment, _in_force(now))
        .order_by(_columns.added_at.desc(), _columns.id)
    )
    return tuple(WebhookSecret(*row) for row in rows)


async def remove_secret(connection: AsyncConnection, environment: str, name: str, now: float) -> None:
    """Take the secret no more.

    Raises:
        NotFoundError: there is none of this id.
    """
    mine = and_(_columns.environment == environment, _columns.id == name, _in_force(now))
    if not (await connection.execute(delete(stripe_webhook_secrets).where(mine))).rowcount:
        raise NotFoundError(
            f"there is no webhook secret {name!r:.100}; GET /v1/stripe/webhook-secrets lists those there are"
        )


async def forget_secrets(connection: AsyncConnection, environment: str) -> None:
    """Forget all of the environment's secrets."""
    await connection.execute(delete(stripe_webhook_secrets).where(_columns.environment == environment))


async def sealed_secrets(connection: AsyncConnection, environment: str, now: float) -> tuple[bytes, ...]:
    """Return the secrets in force as they are stored, the newest first."""
    rows = await connection.execute(
        select(_columns.secret)
        .where(_columns.environment == environment, _in_force(now))
        .order_by(_columns.added_at.desc(), _columns.id)
    )
    return tuple(rows.scalars())


async def _known(connection: AsyncConnection, box: SecretBox, environment: str, secret: str) -> str | None:
    rows = await connection.execute(
        select(_columns.id, _columns.secret).where(_columns.environment == environment)
    )
    return next((row.id for row in rows if _is(box, environment, row.secret, secret)), None)


def _is(box: SecretBox, environment: str, sealed: bytes, secret: str) -> bool:
    try:
        return box.open(sealed, environment=environment, column=COLUMN) == secret
    except SealedError:  # of a key that was lost; whoever pastes the secret again mends that
        return False


def _in_force(now: float) -> ColumnElement[bool]:
    return or_(_columns.expires_at.is_(None), _columns.expires_at > int(now))
