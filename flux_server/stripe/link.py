"""Linking an environment to a Stripe account: with a key and a webhook secret that somebody pastes."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert
from flux_server.errors import ConflictError, InvalidRequestError, UnavailableError
from flux_server.stripe.client import PROBES, StripeApi
from flux_server.stripe.connector import Connector, NotLinkedError
from flux_server.stripe.customers import mark_customers
from flux_server.stripe.dirty import ALL_SUBSCRIPTIONS, mark
from flux_server.stripe.errors import AbsentError, CallError, KeyRefusedError, RefusedError, TemporaryError
from flux_server.stripe.tables import stripe_dirty, stripe_links

__all__ = [
    "DEFAULT_METADATA_KEY",
    "Link",
    "LinkRefusedError",
    "find_link",
    "pause_forwarding",
    "pause_link",
    "read_link",
    "require_link",
    "set_link",
    "unlink",
]

DEFAULT_METADATA_KEY: Final = "organization_id"

_API_KEY = re.compile(r"(?P<kind>rk|sk)_(?P<mode>test|live)_[A-Za-z0-9_]{4,}\Z")
_WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{4,}\Z")
_METADATA_KEY_LENGTH = 40  # Stripe's own limit


class LinkRefusedError(InvalidRequestError):
    """The key or the secret cannot be used; the message says which to paste instead."""

    code = "stripe_link_refused"
    title = "Stripe link refused"


@dataclass(frozen=True, slots=True)
class Link:
    """An environment's link as it may be shown: of its secrets only the kind and the last four characters."""

    environment: str
    token: str
    account: str
    livemode: bool
    api_key_shown: str
    has_webhook_secret: bool
    status: str
    paused_reason: str | None
    forwarding_paused: str | None
    metadata_key: str
    created_at: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what the operator should see to, though the link works."""
        found = []
        if self.api_key_shown.startswith("sk_"):
            found.append(
                "this is a full secret key; a restricted key (rk_…) that reads subscriptions, customers and prices "
                "and writes meter events suffices, and could do less harm"
            )
        if not self.has_webhook_secret:
            found.append(
                "no webhook secret yet: in Stripe, send events to this link's webhook address, then paste the "
                "endpoint's signing secret (whsec_…) here"
            )
        return tuple(found)


async def set_link(
    connector: Connector,
    environment: str,
    *,
    api_key: str | None = None,
    webhook_secret: str | None = None,
    metadata_key: str | None = None,
) -> Link:
    """Link the environment, or change its link; what is None stays as it is. Then read all subscriptions.

    Raises:
        LinkRefusedError: the key or the secret is not one that can be used here.
        ConflictError: the key belongs to another account than the link.
        UnavailableError: Stripe cannot be asked now.
    """
    _require_forms(environment, api_key, webhook_secret, metadata_key)
    if api_key is not None and "_live_" in api_key[:8] and connector.settings.clock_url:
        raise LinkRefusedError(
            "FLUX_CLOCK_URL turns this server's time; start it without that to link a live account"
        )
    async with connector.database.read() as connection:
        before = await read_link(connection, environment)
    if before is None and api_key is None:
        raise LinkRefusedError("give `api_key`: a restricted key (rk_…) of the Stripe account to link")
    now = connector.clock()
    values: dict[str, Any] = {"status": "active", "paused_reason": None, "forwarding_paused": None}
    if api_key is not None:
        account = await _probed(connector.clients.api(api_key))
        if before is not None and before.account and account and before.account != account:
            raise ConflictError(
                f"this key belongs to account {account}, the link to {before.account}; DELETE /v1/stripe/link first"
            )
        sealed = connector.box.seal(api_key, environment=environment, column="api_key")
        values |= {"account": account, "livemode": "_live_" in api_key[:8], "api_key": sealed}
        values["api_key_shown"] = f"{api_key[:8]}…{api_key[-4:]}"
    if webhook_secret is not None:
        values["webhook_secret"] = connector.box.seal(
            webhook_secret, environment=environment, column="webhook_secret"
        )
    if metadata_key is not None or before is None:
        values["metadata_key"] = metadata_key or DEFAULT_METADATA_KEY
    async with connector.database.write() as connection:
        return await _store(connection, environment, values, before, now)


async def read_link(connection: AsyncConnection, environment: str) -> Link | None:
    """Return the environment's link; None if it has none."""
    mine = select(stripe_links).where(stripe_links.c.environment == environment)
    row = (await connection.execute(mine)).one_or_none()
    return None if row is None else _link(row)


async def require_link(connection: AsyncConnection, environment: str) -> Link:
    """Return the environment's link.

    Raises:
        NotLinkedError: it has none.
    """
    link = await read_link(connection, environment)
    if link is None:
        raise NotLinkedError(environment)
    return link


async def find_link(connection: AsyncConnection, token: str) -> tuple[Link, bytes | None] | None:
    """Return the link that a webhook address belongs to, and its sealed webhook secret."""
    row = (await connection.execute(select(stripe_links).where(stripe_links.c.token == token))).one_or_none()
    return None if row is None else (_link(row), row.webhook_secret)


async def unlink(connection: AsyncConnection, environment: str) -> None:
    """End the link and forget its secrets. What was read from Stripe stays, and ends when its period does."""
    link = delete(stripe_links).where(stripe_links.c.environment == environment)
    if not (await connection.execute(link)).rowcount:
        raise NotLinkedError(environment)
    await connection.execute(delete(stripe_dirty).where(stripe_dirty.c.environment == environment))


async def pause_link(connection: AsyncConnection, environment: str, reason: str) -> None:
    """Stop calling Stripe until the link is set again; events are still taken in, and usage is kept."""
    await _update(connection, environment, {"status": "paused", "paused_reason": reason})


async def pause_forwarding(connection: AsyncConnection, environment: str, reason: str) -> None:
    """Stop sending usage until the link is set again; subscriptions are still followed."""
    await _update(connection, environment, {"forwarding_paused": reason})


def _require_forms(
    environment: str, api_key: str | None, webhook_secret: str | None, metadata_key: str | None
) -> None:
    """Refuse what cannot be right before anything leaves this machine. Never repeats what was pasted."""
    if api_key is not None:
        form = _API_KEY.match(api_key)
        if form is None:
            known = _PASTED_BY_MISTAKE.get(api_key.partition("_")[0], "this is not a Stripe API key")
            raise LinkRefusedError(f"{known}; paste a restricted key (rk_…), or a secret key (sk_…)")
        needed = "live" if environment == "live" else "test"
        if form["mode"] != needed:
            raise LinkRefusedError(
                f"environment {environment!r} needs a {needed} mode key ({form['kind']}_{needed}_…), this is a "
                f"{form['mode']} mode key"
            )
    if webhook_secret is not None and not _WEBHOOK_SECRET.match(webhook_secret):
        raise LinkRefusedError("a webhook secret begins with whsec_; Stripe shows it with the endpoint")
    if metadata_key is not None and not 0 < len(metadata_key) <= _METADATA_KEY_LENGTH:
        raise LinkRefusedError(f"a metadata key has 1 to {_METADATA_KEY_LENGTH} characters")


_PASTED_BY_MISTAKE = {
    "pk": "this is a publishable key, which can read nothing",
    "whsec": "this is a webhook secret, which goes into `webhook_secret`",
    "mk": "this is not an API key of an account",
}


async def _probed(api: StripeApi) -> str:
    """Return the key's account after finding that the key can read what the link needs."""
    account, *found = await asyncio.gather(
        _tried(api.account()), *(_tried(api.probe(resource)) for resource in PROBES)
    )
    missing = [
        error.permission or f"read {resource}"
        for resource, error in zip(PROBES, found, strict=True)
        if isinstance(error, KeyRefusedError)
    ]
    if missing:
        raise LinkRefusedError(
            f"the key lacks permissions: {', '.join(missing)}; add them to the key in Stripe, then link again",
            missing=missing,
        )
    return account if isinstance(account, str) else ""


async def _tried(call: Awaitable[str | None]) -> str | KeyRefusedError | None:
    """Return what the call returns, or that the key lacks a permission for it."""
    try:
        return await call
    except KeyRefusedError as error:
        if error.status == 401:
            raise LinkRefusedError(f"Stripe refuses the key: {error}") from error
        return error
    except TemporaryError as error:
        raise UnavailableError(f"the key could not be tried: {error}; try again") from error
    except CallError as error:
        # Another implementation of Stripe's API may lack a resource altogether.
        if isinstance(error, AbsentError) or (isinstance(error, RefusedError) and error.status == 404):
            return None
        raise LinkRefusedError(f"Stripe cannot be read with this key: {error}") from error


async def _store(
    connection: AsyncConnection, environment: str, values: dict[str, Any], before: Link | None, now: float
) -> Link:
    if before is None:
        new = {"environment": environment, "token": secrets.token_urlsafe(24), "created_at": int(now)}
        await connection.execute(
            insert(connection, stripe_links)
            .values(new | values)
            .on_conflict_do_update(index_elements=["environment"], set_=values)
        )
    else:
        await _update(connection, environment, values)
    link = await read_link(connection, environment)
    if link is None:
        raise ConflictError("the link was ended meanwhile; give the key and the secret again")
    if before is not None and before.metadata_key != link.metadata_key:
        await mark_customers(connection, environment, now)
    await mark(connection, environment, [ALL_SUBSCRIPTIONS], now)
    return link


async def _update(connection: AsyncConnection, environment: str, values: dict[str, Any]) -> None:
    mine = stripe_links.c.environment == environment
    await connection.execute(update(stripe_links).where(mine).values(values))


def _link(row: Any) -> Link:
    return Link(
        environment=row.environment,
        token=row.token,
        account=row.account,
        livemode=row.livemode,
        api_key_shown=row.api_key_shown,
        has_webhook_secret=row.webhook_secret is not None,
        status=row.status,
        paused_reason=row.paused_reason,
        forwarding_paused=row.forwarding_paused,
        metadata_key=row.metadata_key,
        created_at=row.created_at,
    )
