"""Stripe's events: reading one, and which objects it says to look at again. Pure.

An event is a hint that something changed, never the change itself: events come late, twice, and out of order, so
what counts is the object's present state, read when its turn comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["FOLLOWED_TYPES", "ObjectRef", "StripeEvent", "changed_objects", "parse_event"]


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object at Stripe: its type, in Stripe's word, and its id."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """A webhook's event; `object` is what it is about."""

    id: str
    type: str
    created_at: int
    livemode: bool
    account: str | None
    object: Mapping[str, Any]


def parse_event(body: bytes) -> StripeEvent:
    """Parse a webhook's body.

    Raises:
        ValueError: it is not an event.
    """
    data = json.loads(body)
    try:
        event = StripeEvent(
            id=data["id"],
            type=data["type"],
            created_at=int(data["created"]),
            livemode=bool(data["livemode"]),
            account=data.get("account"),
            object=data["data"]["object"],
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not an event") from error
    if not (_is_id(event.id) and _is_id(event.type) and isinstance(event.object, Mapping)):
        raise ValueError("not an event")
    return event


def changed_objects(event: StripeEvent) -> tuple[ObjectRef, ...]:
    """Return the objects to look at again; none for an event that Flux does not follow."""
    return tuple(dict.fromkeys(_changed(event)))


def _changed(event: StripeEvent) -> Iterator[ObjectRef]:
    for object_type, path in _FOLLOWED.get(event.type, ()):
        found: Any = event.object
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):  # expanded
            found = found.get("id")
        if _is_id(found):
            yield ObjectRef(object_type, found)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


_SUBSCRIPTION = (("subscription", "id"),)
_CUSTOMER = (("customer", "id"),)
_INVOICE = (
    ("subscription", "parent.subscription_details.subscription"),
    ("subscription", "subscription"),  # before API version 2025-03-31
)
_SCHEDULE = (("subscription", "subscription"), ("subscription", "released_subscription"))
_METER = (("billing.meter", "id"),)
_PRICE = (("price", "id"),)
_PRODUCT = (("product", "id"),)

# Event type -> (type of an object to look at again, where its id stands in the event's object).
_FOLLOWED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "customer.subscription.created": _SUBSCRIPTION,
    "customer.subscription.updated": _SUBSCRIPTION,
    "customer.subscription.deleted": _SUBSCRIPTION,
    "customer.subscription.paused": _SUBSCRIPTION,
    "customer.subscription.resumed": _SUBSCRIPTION,
    "customer.subscription.pending_update_applied": _SUBSCRIPTION,
    "customer.subscription.pending_update_expired": _SUBSCRIPTION,
    "customer.subscription.trial_will_end": _SUBSCRIPTION,
    "customer.created": _CUSTOMER,
    "customer.updated": _CUSTOMER,
    "customer.deleted": _CUSTOMER,
    "checkout.session.completed": (("checkout.session", "id"), ("subscription", "subscription")),
    "checkout.session.async_payment_succeeded": (
        ("checkout.session", "id"),
        ("subscription", "subscription"),
    ),
    "invoice.paid": _INVOICE,
    "invoice.payment_failed": _INVOICE,
    "invoice.payment_action_required": _INVOICE,
    "subscription_schedule.created": _SCHEDULE,
    "subscription_schedule.updated": _SCHEDULE,
    "subscription_schedule.released": _SCHEDULE,
    "subscription_schedule.completed": _SCHEDULE,
    "subscription_schedule.canceled": _SCHEDULE,
    "subscription_schedule.aborted": _SCHEDULE,
    "billing.meter.created": _METER,
    "billing.meter.updated": _METER,
    "billing.meter.deactivated": _METER,
    "billing.meter.reactivated": _METER,
    "price.created": _PRICE,
    "price.updated": _PRICE,
    "price.deleted": _PRICE,
    "product.created": _PRODUCT,
    "product.updated": _PRODUCT,
    "product.deleted": _PRODUCT,
    "entitlements.active_entitlement_summary.updated": (("customer", "customer"),),
}

FOLLOWED_TYPES: Final = tuple(sorted(_FOLLOWED))
"""Types of events that an endpoint in Stripe should send."""
