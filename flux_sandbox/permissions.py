"""What a restricted key must be allowed to do, by path: each kind of object can be read, or read and written.

Stripe publishes the names nowhere in one place; these are as its refusals tell them. Reading the account needs none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["PERMISSIONS", "check_permissions", "permission_for"]

_KINDS: Final = {
    "/v1/billing/": "billing_meter",
    "/v1/billing_portal/": "customer_portal",
    "/v1/checkout/sessions": "checkout_session",
    "/v1/coupons": "coupon",
    "/v1/customers": "customer",
    "/v1/entitlements/": "entitlement",
    "/v1/events": "event",
    "/v1/invoice_payments": "invoice",
    "/v1/invoiceitems": "invoice",
    "/v1/invoices": "invoice",
    "/v1/payment_intents": "payment_intent",
    "/v1/payment_methods": "payment_method",
    "/v1/plans": "plan",
    "/v1/prices": "plan",
    "/v1/products": "product",
    "/v1/setup_intents": "setup_intent",
    "/v1/subscription_items": "subscription",
    "/v1/subscription_schedules": "subscription",
    "/v1/subscriptions": "subscription",
    "/v1/test_helpers/": "test_clock",
    "/v1/webhook_endpoints": "webhook",
    "/v2/billing/": "billing_meter",
    "/v2/core/event_destinations": "webhook",
    "/v2/core/events": "event",
}
"""Kinds by how paths begin; no entry is the beginning of another."""

PERMISSIONS: Final = frozenset(f"rak_{kind}_{may}" for kind in _KINDS.values() for may in ("read", "write"))
"""Every permission there is. One to write is one to read as well."""


def permission_for(method: str, path: str) -> str | None:
    """Return the permission that a request needs, if it needs one."""
    for beginning, kind in _KINDS.items():
        if path.startswith(beginning):
            return f"rak_{kind}_{'read' if method == 'GET' else 'write'}"
    return None


def check_permissions(names: Iterable[str]) -> None:
    """Refuse names that are no permissions."""
    unknown = sorted(set(names) - PERMISSIONS)
    if unknown:
        known = ", ".join(sorted(PERMISSIONS))
        raise ValueError(f"no such permissions: {', '.join(unknown)}; there are {known}")
