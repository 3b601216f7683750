"""Linking an environment to a Stripe account: with a key that somebody pastes, and all that it may do tried first.

What can be found out or done at Stripe comes before anything is stored, and everything is stored at once. Whatever
is lost in between is found again: a webhook endpoint whose secret nobody kept is known by its metadata, and replaced.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import SYSTEM, insert
from flux_server.environments.environments import read_environment
from flux_server.errors import ConflictError
from flux_server.stripe.active_entitlements import mark_entitlements, take_back
from flux_server.stripe.client import StripeApi
from flux_server.stripe.connector import Connector
from flux_server.stripe.customers import mark_customers
from flux_server.stripe.endpoint import (
    EndpointWanted,
    Ensured,
    ensure_endpoint,
    remove_endpoint,
    why_unreachable,
)
from flux_server.stripe.errors import CallError
from flux_server.stripe.link import DEFAULT_METADATA_KEY, Link, read_link, require_link, unlink
from flux_server.stripe.link_forms import LinkRefusedError, LinkWanted, require_forms
from flux_server.stripe.permissions import permissions_text, probe_key, with_state
from flux_server.stripe.secrets import SealedError
from flux_server.stripe.sweeps import start_sweep
from flux_server.stripe.tables import stripe_links, stripe_subscriptions
from flux_server.stripe.webhook_secrets import SecretKind, add_secret

__all__ = ["end_link", "set_link"]

_ON_THEIR_WAY: Final = 10_000
"""More reads than a link that was ended can have begun and not saved."""


async def set_link(
    connector: Connector,
    environment: str,
    *,
    api_key: str | None = None,
    webhook_secret: str | None = None,
    thin_secret: str | None = None,
    metadata_key: str | None = None,
    endpoint: bool | None = None,
    stripe_entitlements: bool | None = None,
) -> Link:
    """Link the environment, or change its link; what is None stays as it is. Then read all subscriptions.

    `endpoint` says whether Flux makes its webhook endpoint in Stripe itself, and keeps it as it should be. Left out,
    it does unless somebody pasted the signing secret of an endpoint of their own. `stripe_entitlements` says whether
    Stripe's own active entitlements grant features too.

    Raises:
        LinkRefusedError: the key or a secret is not one that can be used here.
        ConflictError: the key belongs to another account than the link.
        UnavailableError: Stripe cannot be asked now.
    """
    wanted = LinkWanted(api_key, webhook_secret, thin_secret, metadata_key, endpoint, stripe_entitlements)
    require_forms(environment, wanted)
    if api_key is not None and "_live_" in api_key[:8] and connector.settings.clock_url:
        raise LinkRefusedError(
            "FLUX_CLOCK_URL turns this server's time; start it without that to link a live account"
        )
    async with connector.database.read() as connection:
        before = await read_link(connection, environment)
    if before is None and api_key is None:
        raise LinkRefusedError("give `api_key`: a restricted key (rk_…) of the Stripe account to link")
    change = _Change(connector, environment, wanted, before)
    await change.try_key()
    await change.see_to_endpoint()
    async with connector.database.write() as connection:
        return await change.store(connection)


async def end_link(connector: Connector, environment: str, actor: str = SYSTEM) -> str | None:
    """End the link as `unlink` does, and remove the endpoint that Flux made; return what to do if it is left.

    Raises:
        NotLinkedError: there is no link.
    """
    async with connector.database.read() as connection:
        link = await require_link(connection, environment)
    left = None if link.endpoint is None else await _remove_endpoint(connector, environment, link.endpoint)
    async with connector.database.write(actor) as connection:
        await unlink(connection, environment)
        await take_back(connection, environment, connector.clock())
    return left


async def _remove_endpoint(connector: Connector, environment: str, endpoint: str) -> str | None:
    try:
        await remove_endpoint(await connector.api(environment), endpoint)
    except (CallError, SealedError) as error:
        return f"the webhook endpoint {endpoint} is left in Stripe ({error}); remove it there"
    return None


@dataclass(frozen=True, slots=True)
class _Pasted:
    kind: SecretKind
    secret: str


class _Change:
    """A link that is being made or changed: found out step by step, then stored as a whole."""

    def __init__(
        self, connector: Connector, environment: str, wanted: LinkWanted, before: Link | None
    ) -> None:
        self._connector = connector
        self._environment = environment
        self._wanted = wanted
        self._before = before
        self._token = before.token if before is not None else secrets.token_urlsafe(24)
        self._values: dict[str, Any] = {"status": "active", "paused_reason": None, "forwarding_paused": None}
        self._permissions = before.permissions if before is not None else ()
        self._secrets: list[_Pasted] = []
        if wanted.metadata_key is not None or before is None:
            self._values["metadata_key"] = wanted.metadata_key or DEFAULT_METADATA_KEY
        if wanted.stripe_entitlements is not None:
            self._values["stripe_entitlements"] = wanted.stripe_entitlements
        if wanted.webhook_secret is not None:
            self._secrets.append(_Pasted("snapshot", wanted.webhook_secret))
        if wanted.thin_secret is not None:
            self._secrets.append(_Pasted("thin", wanted.thin_secret))

    async def try_key(self) -> None:
        """Find out whose the key is, and what it may do."""
        key = self._wanted.api_key
        if key is None:
            return
        probed = await probe_key(self._connector.clients.api(key))
        known = self._before.account if self._before is not None else ""
        if known and probed.account and known != probed.account:
            raise ConflictError(
                f"this key belongs to account {probed.account}, the link to {known}; DELETE /v1/stripe/link first"
            )
        self._permissions = probed.permissions
        self._values |= {
            "account": probed.account,
            "livemode": "_live_" in key[:8],
            "api_key": self._connector.box.seal(key, environment=self._environment, column="api_key"),
            "api_key_shown": f"{key[:8]}…{key[-4:]}",
        }

    async def see_to_endpoint(self) -> None:
        """Make the link's own endpoint, or mend it. The link works without, once a secret is pasted."""
        if not self._wants_endpoint():
            if self._wanted.webhook_secret is not None or self._wanted.endpoint is False:
                self._values["endpoint_problem"] = None
            return
        done = await self._ensured()
        self._values |= {"endpoint": done.endpoint, "endpoint_problem": done.problem}
        self._permissions = with_state(self._permissions, "webhook_endpoints", done.permission)
        if done.secret is not None:
            self._secrets.append(_Pasted("snapshot", done.secret))

    def _wants_endpoint(self) -> bool:
        before, wanted = self._before, self._wanted
        if wanted.endpoint is not None:
            return wanted.endpoint
        if wanted.webhook_secret is not None:
            return False
        return before is None or before.endpoint is not None or not before.has_webhook_secret

    async def _ensured(self) -> Ensured:
        connector, environment = self._connector, self._environment
        known = None
        if self._before is not None and self._before.has_webhook_secret:
            known = self._before.endpoint
        url = connector.webhook_url(self._token)
        reason = why_unreachable(
            url, livemode=environment == "live", api_base=connector.settings.stripe_api_base
        )
        if reason is not None:
            return Ensured(known, problem=reason, permission="unproven")
        async with connector.database.read() as connection:
            owner = (await read_environment(connection, environment)).instance
        try:
            api = await self._api()
        except SealedError as error:
            return Ensured(known, problem=str(error), permission="unproven")
        return await ensure_endpoint(api, EndpointWanted(environment, owner, url, known))

    async def _api(self) -> StripeApi:
        if self._wanted.api_key is not None:
            return self._connector.clients.api(self._wanted.api_key)
        return await self._connector.api(self._environment)

    async def store(self, connection: AsyncConnection) -> Link:
        """Store what was found out, and have everything read by it."""
        environment, now = self._environment, self._connector.clock()
        for each in self._secrets:
            await add_secret(connection, self._connector.box, environment, each.secret, each.kind, now)
        values = self._values | {"permissions": permissions_text(self._permissions)}
        if self._before is None:
            new = {"environment": environment, "token": self._token, "created_at": int(now)}
            new["reads"] = await _reads_so_far(connection, environment) + _ON_THEIR_WAY
            made = insert(connection, stripe_links).values(new | values).on_conflict_do_nothing()
            await connection.execute(made)
        else:
            mine = stripe_links.c.environment == environment
            await connection.execute(update(stripe_links).where(mine).values(values))
        link = await read_link(connection, environment)
        if link is None or link.token != self._token:
            raise ConflictError("the link was made or ended meanwhile; give the key and the secret again")
        if self._before is not None and self._before.metadata_key != link.metadata_key:
            await mark_customers(connection, environment, now)
        resumed = self._before is not None and self._before.status == "paused"
        await start_sweep(connection, environment, "resumed" if resumed else "linked", now)
        if link.stripe_entitlements != (self._before is not None and self._before.stripe_entitlements):
            await mark_entitlements(connection, environment, None, now)
            await take_back(connection, environment, now)
        return link


async def _reads_so_far(connection: AsyncConnection, environment: str) -> int:
    """Return the highest number of a read that was saved: by an earlier link, whose subscriptions stay.

    If a link counted from the beginning again, all that it reads would be taken for older than what is known.
    """
    mine = stripe_subscriptions.c.environment == environment
    highest = select(func.coalesce(func.max(stripe_subscriptions.c.read), 0)).where(mine)
    return int((await connection.execute(highest)).scalar_one())
