"""What a key may do at Stripe: tried one by one, because Stripe answers no question about it.

Reading is tried by reading. Writing cannot be tried without writing something, so it is unproven until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from flux_server.errors import UnavailableError
from flux_server.stripe.client import StripeApi
from flux_server.stripe.errors import AbsentError, CallError, KeyRefusedError, RefusedError, TemporaryError
from flux_server.stripe.link_forms import LinkRefusedError

__all__ = [
    "PERMISSIONS",
    "Permission",
    "Probed",
    "permissions_from",
    "permissions_text",
    "probe_key",
    "with_state",
]


@dataclass(frozen=True, slots=True)
class Permission:
    """Something that a key may be allowed, by the name that Stripe's refusals give it.

    `state` is granted, missing, unproven (nothing tried it yet) or absent (whoever answers has no such thing).
    `without` says what does not work if it is missing; empty if nothing would.
    """

    name: str
    resource: str
    access: str
    state: str = "unproven"
    without: str = ""

    @property
    def is_needed(self) -> bool:
        """Return whether a key without it is refused."""
        return not self.without


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found out about a key; `account` is empty if whoever answers does not say."""

    account: str
    permissions: tuple[Permission, ...]


PERMISSIONS: Final = (
    Permission("rak_customer_read", "customers", "read"),
    Permission("rak_subscription_read", "subscriptions", "read"),
    Permission("rak_product_read", "products", "read"),
    Permission("rak_plan_read", "prices", "read"),
    Permission("rak_invoice_read", "invoices", "read"),
    Permission("rak_event_read", "events", "read"),
    Permission("rak_checkout_session_read", "checkout_sessions", "read"),
    Permission(
        "rak_entitlement_read", "entitlements", "read", without="Stripe's own entitlements cannot be used"
    ),
    Permission("rak_billing_meter_read", "meters", "read", without="usage cannot be billed"),
    Permission("rak_billing_meter_write", "meter_events", "write", without="usage cannot be billed"),
    Permission(
        "rak_webhook_write",
        "webhook_endpoints",
        "write",
        without="Flux cannot make its own webhook endpoint; make one in Stripe and paste its signing secret",
    ),
)
"""All that a link makes use of."""


async def probe_key(api: StripeApi) -> Probed:
    """Find out what the key may do.

    Raises:
        LinkRefusedError: Stripe refuses the key, or it lacks what no link can do without.
        UnavailableError: Stripe does not answer now.
    """
    account, found = await asyncio.gather(
        _account(api), asyncio.gather(*(_tried(api, each) for each in PERMISSIONS))
    )
    needed = [each.name for each in found if each.state == "missing" and each.is_needed]
    if needed:
        raise LinkRefusedError(
            f"the key lacks permissions: {', '.join(needed)}; add them to the key in Stripe, then link again",
            missing=[each.name for each in found if each.state == "missing"],
        )
    return Probed(account, tuple(found))


def permissions_text(permissions: Iterable[Permission]) -> str:
    """Return how the permissions are stored."""
    return msgspec.json.encode({each.resource: each.state for each in permissions}).decode()


def permissions_from(text: str | None) -> tuple[Permission, ...]:
    """Return what was stored; a permission that was not known then is unproven, and all are if nothing was stored."""
    stored = msgspec.json.decode(text, type=dict[str, str]) if text else {}
    return tuple(replace(each, state=stored.get(each.resource, each.state)) for each in PERMISSIONS)


def with_state(permissions: Iterable[Permission], resource: str, state: str) -> tuple[Permission, ...]:
    """Return the permissions with what was found out about one of them."""
    return tuple(replace(each, state=state) if each.resource == resource else each for each in permissions)


async def _account(api: StripeApi) -> str:
    try:
        return await api.account()
    except CallError as error:
        _require_answer(error)  # a key need not be allowed to see its account
        return ""


async def _tried(api: StripeApi, permission: Permission) -> Permission:
    if permission.access == "write":
        return permission
    try:
        await api.probe(permission.resource)
    except KeyRefusedError as error:
        _require_answer(error)
        return replace(permission, state="missing", name=error.permission or permission.name)
    except CallError as error:
        _require_answer(error)
        return replace(permission, state="absent")
    return replace(permission, state="granted")


def _require_answer(error: CallError) -> None:
    """Let pass what says something of one permission; whatever else it is, the key cannot be used now."""
    if isinstance(error, TemporaryError):
        raise UnavailableError(f"the key could not be tried: {error}; try again") from error
    if isinstance(error, KeyRefusedError):
        if error.status == 401:
            raise LinkRefusedError(f"Stripe refuses the key: {error}") from error
        return
    # Another implementation of Stripe's API may lack a resource altogether.
    if not isinstance(error, AbsentError) and not (isinstance(error, RefusedError) and error.status == 404):
        raise LinkRefusedError(f"Stripe cannot be read with this key: {error}") from error
