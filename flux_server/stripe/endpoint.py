"""The webhook endpoint that Flux makes for itself, and knows again by the metadata it gave it.

Only endpoints that carry this environment's own mark are ever changed or removed; all others are somebody else's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from flux_server.stripe.client import StripeApi
from flux_server.stripe.errors import AbsentError, CallError, KeyRefusedError
from flux_server.stripe.events import FOLLOWED_TYPES
from flux_server.stripe.webhook_endpoint import StripeEndpoint

__all__ = ["EndpointWanted", "Ensured", "ensure_endpoint", "remove_endpoint", "why_unreachable"]

_MARK: Final = "flux_link"


@dataclass(frozen=True, slots=True)
class EndpointWanted:
    """The endpoint there should be: sending to `url`, marked with `owner`, which no other link has.

    `known` is the one that was made before, if its secret is known still: Stripe never shows it again.
    """

    environment: str
    owner: str
    url: str
    known: str | None

    @property
    def metadata(self) -> dict[str, str]:
        """Return what the endpoint is known by."""
        return {_MARK: self.owner, "flux_environment": self.environment}


@dataclass(frozen=True, slots=True)
class Ensured:
    """What became of it. `secret` is there if the endpoint is new; `problem` says why it is not as wanted."""

    endpoint: str | None
    secret: str | None = field(default=None, repr=False)
    problem: str | None = None
    permission: str = "granted"


def why_unreachable(url: str, *, livemode: bool, api_base: str | None) -> str | None:
    """Return why Stripe could not send events to the address; None if it can, as far as can be told from here."""
    if api_base and not (urlsplit(api_base).hostname or "").endswith("stripe.com"):
        return None  # a sandbox runs where it can reach what we can
    parts = urlsplit(url)
    advice = "set FLUX_PUBLIC_URL to an address that Stripe reaches, then save the link again"
    if not _is_public(parts.hostname or ""):
        return f"Stripe cannot reach {parts.hostname}; {advice}"
    if livemode and parts.scheme != "https":
        return f"Stripe sends live events to https addresses only; {advice}"
    return None


async def ensure_endpoint(api: StripeApi, wanted: EndpointWanted) -> Ensured:
    """See to it that there is the endpoint, once and as it should be. Doing so again changes nothing."""
    try:
        return await _ensure(api, wanted)
    except KeyRefusedError as error:
        named = error.permission or "rak_webhook_write"
        problem = f"the key may not manage webhook endpoints ({named})" if error.status == 403 else str(error)
        return Ensured(wanted.known, problem=problem, permission="missing")
    except AbsentError:
        return Ensured(None, permission="absent")
    except CallError as error:
        return Ensured(wanted.known, problem=f"{error}; save the link again", permission="unproven")


async def remove_endpoint(api: StripeApi, endpoint: str) -> None:
    """Remove the endpoint that Flux made, unless somebody did already.

    Raises:
        CallError: it may be there still.
    """
    try:
        await api.delete_webhook_endpoint(endpoint)
    except AbsentError:
        return


async def _ensure(api: StripeApi, wanted: EndpointWanted) -> Ensured:
    ours = [each async for each in api.webhook_endpoints() if _is_ours(each, wanted)]
    kept = next((each for each in ours if each.id == wanted.known), None)
    for other in ours:
        if other is not kept:  # nobody knows its secret any more
            await remove_endpoint(api, other.id)
    if kept is None:
        return await _create(api, wanted)
    if not _is_as_wanted(kept, wanted):
        await api.update_webhook_endpoint(kept.id, wanted.url, FOLLOWED_TYPES)
    return Ensured(kept.id)


async def _create(api: StripeApi, wanted: EndpointWanted) -> Ensured:
    made = await api.create_webhook_endpoint(wanted.url, FOLLOWED_TYPES, wanted.metadata)
    if made.secret is None:
        await remove_endpoint(api, made.id)
        return Ensured(None, problem="Stripe did not show its signing secret to this key, so it was removed")
    return Ensured(made.id, made.secret)


def _is_ours(endpoint: StripeEndpoint, wanted: EndpointWanted) -> bool:
    marked: Mapping[str, str] = endpoint.metadata
    return endpoint.id == wanted.known or marked.get(_MARK) == wanted.owner


def _is_as_wanted(endpoint: StripeEndpoint, wanted: EndpointWanted) -> bool:
    return endpoint.enabled and endpoint.url == wanted.url and endpoint.events == set(FOLLOWED_TYPES)


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host.strip(".") and not host.endswith((".localhost", ".local", ".internal", ".test"))
