"""Which types of events Flux follows, and where each says what to look at again. Tables only.

A path names where the id of an object stands in the event's object; one that begins with `=` is that id itself.
Stripe's own names of the two kinds differ by `v1.`; a thin event tells only the id of the object it is about, so where
another object is meant (an invoice's subscription), that one is found when the invoice is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["FOLLOWED_TYPES", "SNAPSHOT_PATHS", "SUBSCRIPTION_PATHS", "THIN_PATHS", "THIN_TYPES"]

Paths = tuple[tuple[str, str], ...]


SUBSCRIPTION_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    # The second is where it stood before API version 2025-03-31.
    "invoice": ("parent.subscription_details.subscription", "subscription"),
    "subscription_schedule": ("subscription", "released_subscription"),
}
"""Where objects that are no subscription name theirs."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Types of events about one kind of object; `finer` are types that only thin events have."""

    prefix: str
    types: str
    snapshot: Paths
    thin: Paths
    finer: str = ""


_FAMILIES: Final = (
    _Family(
        "customer.subscription",
        "created updated deleted paused resumed pending_update_applied pending_update_expired trial_will_end",
        (("subscription", "id"),),
        (("subscription", "id"),),
        "active trialing past_due unpaid incomplete incomplete_expired item_added item_removed "
        "item_price_changed item_quantity_changed cancel_at_changed",
    ),
    _Family("customer", "created updated deleted", (("customer", "id"),), (("customer", "id"),)),
    _Family(
        "checkout.session",
        "completed async_payment_succeeded",
        (("checkout.session", "id"), ("subscription", "subscription")),
        (("checkout.session", "id"),),
    ),
    _Family(
        "invoice",
        "paid payment_failed payment_action_required",
        tuple(("subscription", path) for path in SUBSCRIPTION_PATHS["invoice"]),
        (("invoice", "id"),),
    ),
    _Family(
        "subscription_schedule",
        "created updated released completed canceled aborted expiring",
        tuple(("subscription", path) for path in SUBSCRIPTION_PATHS["subscription_schedule"]),
        (("subscription_schedule", "id"),),
        "phase_added phase_removed phase_end_date_changed phase_trial_end_changed",
    ),
    _Family(
        "billing.meter",
        "created updated deactivated reactivated",
        (("billing.meter", "id"),),
        (("billing.meter", "id"),),
        "error_report_triggered",
    ),
    _Family(
        "product",
        "created updated deleted",
        (("product", "id"),),
        (("product", "id"),),
        "activated deactivated",
    ),
    _Family(
        "price",
        "created updated deleted",
        (("price", "id"),),
        (("price", "id"),),
        "activated deactivated lookup_key_changed",
    ),
    # Its thin event names no object; thin destinations tell nothing of active entitlements.
    _Family("entitlements.active_entitlement_summary", "updated", (("customer", "customer"),), ()),
)

# An event that Stripe could not make is known by this one only: what it was about has to be looked for.
_LOST: Final = "v2.core.health.event_generation_failure.resolved"


def _named(prefix: str, types: str, paths: Paths) -> dict[str, Paths]:
    return {f"{prefix}.{name}": paths for name in types.split() if paths}


SNAPSHOT_PATHS: Final[Mapping[str, Paths]] = {
    name: paths
    for family in _FAMILIES
    for name, paths in _named(family.prefix, family.types, family.snapshot).items()
}
THIN_PATHS: Final[Mapping[str, Paths]] = {
    name: paths
    for family in _FAMILIES
    for name, paths in _named(f"v1.{family.prefix}", f"{family.types} {family.finer}", family.thin).items()
} | {_LOST: (("subscriptions", "=all"),)}

FOLLOWED_TYPES: Final = tuple(sorted(SNAPSHOT_PATHS))
"""Types of events that a webhook endpoint in Stripe should send."""

THIN_TYPES: Final = tuple(
    sorted(
        ({f"v1.{name}" for name in SNAPSHOT_PATHS} & THIN_PATHS.keys())
        | {"v1.billing.meter.error_report_triggered", _LOST}
    )
)
"""Types of events that a destination of thin events in Stripe should send; the finer ones add nothing to these."""
