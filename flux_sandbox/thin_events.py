"""Thin events: what changed and where to read it, told of every change beside its snapshot event.

Each snapshot event has its twin of the same name after `v1.`; some changes have finer ones of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from flux_sandbox.account import Account
from flux_sandbox.event_types import EVENT_TYPES
from flux_sandbox.ledger import Document
from flux_sandbox.moments import written

__all__ = ["THIN_EVENT_TYPES", "add_thin_event", "add_thin_events"]

_PATHS: Final = {
    "billing.meter": "billing/meters",
    "checkout.session": "checkout/sessions",
    "customer": "customers",
    "entitlements.feature": "entitlements/features",
    "invoice": "invoices",
    "invoiceitem": "invoiceitems",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
    "price": "prices",
    "product": "products",
    "subscription": "subscriptions",
    "subscription_schedule": "subscription_schedules",
    "test_helpers.test_clock": "test_helpers/test_clocks",
}
"""Where objects are read, below `/v1/`. Of an object that is not here a thin event names nothing."""
_OWN_STATUSES: Final = ("active", "incomplete", "incomplete_expired", "past_due", "trialing", "unpaid")
"""Statuses of subscriptions whose beginning is an event; the others have one that snapshots know, too."""
_SUBSCRIPTION: Final = "v1.customer.subscription"
_OF_ITEMS: Final = ("item_added", "item_price_changed", "item_quantity_changed", "item_removed")
_FINER: Final = (
    *(f"{_SUBSCRIPTION}.{name}" for name in (*_OWN_STATUSES, *_OF_ITEMS, "cancel_at_changed")),
    *(f"v1.{kind}.{name}" for kind in ("price", "product") for name in ("activated", "deactivated")),
    "v1.price.lookup_key_changed",
    "v1.product.default_price_changed",
)
_THIN_ONLY: Final = (
    "v1.billing.meter.error_report_triggered",
    "v1.billing.meter.no_meter_found",
    "v2.core.health.event_generation_failure.resolved",
)
THIN_EVENT_TYPES: Final = (*(f"v1.{name}" for name in EVENT_TYPES), *_FINER, *_THIN_ONLY)
"""The types of thin events that an event destination can ask for."""


def add_thin_events(account: Account, snapshot: Document) -> list[Document]:
    """Add the thin events that belong to a snapshot event, and return them."""
    shown: Document = snapshot["data"]["object"]
    before: Document | None = snapshot["data"].get("previous_attributes")
    finer = _finer(snapshot["type"], shown, before)
    return [
        add_thin_event(
            account,
            type_,
            shown,
            changes=None if before is None else _changes(shown, before),
            reason=_reason(snapshot["request"]),
            snapshot=snapshot["id"],
        )
        for type_ in (f"v1.{snapshot['type']}", *finer)
    ]


def add_thin_event(
    account: Account,
    type_: str,
    about: Document | None,
    *,
    changes: Document | None = None,
    data: Document | None = None,
    reason: Document | None = None,
    snapshot: str | None = None,
) -> Document:
    """Add one thin event about an object, or about none."""
    event = {
        "id": account.new_id("evt"),
        "object": "v2.core.event",
        "changes": changes,
        "context": None,
        "created": written(account.clock.now()),
        "livemode": False,
        "reason": reason,
        "related_object": None if about is None else _reference(about),
        "snapshot_event": snapshot,
        "type": type_,
    }
    if data is not None:
        event["data"] = data
    account.ledger.put(event)
    return event


def _reference(shown: Document) -> Document | None:
    kind = shown["object"]
    if kind not in _PATHS or "id" not in shown:
        return None
    return {"id": shown["id"], "type": kind, "url": f"/v1/{_PATHS[kind]}/{shown['id']}"}


def _reason(request: Document) -> Document | None:
    """Return which request it was; of what time does by itself there is none."""
    return None if request["id"] is None else {"type": "request", "request": request}


def _changes(shown: Document, before: Document) -> Document:
    return {"before": before, "after": {name: shown.get(name) for name in before}}


def _finer(type_: str, shown: Document, before: Document | None) -> Iterator[str]:
    """Return the types of the events beside the one of the snapshot's own name."""
    kind = type_.rpartition(".")[0]
    status = shown.get("status")  # a test may tell of a subscription that has none
    if kind == "customer.subscription" and status in _OWN_STATUSES and _begins(type_, before):
        yield f"{_SUBSCRIPTION}.{status}"
    if before is not None:
        yield from _FINER_OF.get(kind, _no_finer)(shown, before)


def _begins(type_: str, before: Document | None) -> bool:
    return type_.endswith(".created") or (before is not None and "status" in before)


def _no_finer(_: Document, __: Document) -> Iterator[str]:
    yield from ()


def _of_subscription(shown: Document, before: Document) -> Iterator[str]:
    if "cancel_at" in before:
        yield f"{_SUBSCRIPTION}.cancel_at_changed"
    if "data" in before.get("items", {}):
        earlier, later = _by_id(before["items"]["data"]), _by_id(shown["items"]["data"])
        found = {name for name, holds in _ITEM_CHANGES.items() if holds(earlier, later)}
        yield from (f"{_SUBSCRIPTION}.{name}" for name in _OF_ITEMS if name in found)


def _by_id(items: list[Document]) -> dict[str, Document]:
    return {item["id"]: item for item in items}


def _differs(
    before: dict[str, Document], after: dict[str, Document], read: Callable[[Document], Any]
) -> bool:
    return any(read(before[id_]) != read(after[id_]) for id_ in before.keys() & after.keys())


_ITEM_CHANGES: Final[dict[str, Callable[[dict[str, Document], dict[str, Document]], bool]]] = {
    "item_added": lambda before, after: bool(after.keys() - before.keys()),
    "item_price_changed": lambda before, after: _differs(before, after, lambda item: item["price"]["id"]),
    "item_quantity_changed": lambda before, after: _differs(before, after, lambda item: item.get("quantity")),
    "item_removed": lambda before, after: bool(before.keys() - after.keys()),
}


def _of_price(shown: Document, before: Document) -> Iterator[str]:
    yield from _of_activity("price", shown, before)
    if "lookup_key" in before:
        yield "v1.price.lookup_key_changed"


def _of_product(shown: Document, before: Document) -> Iterator[str]:
    yield from _of_activity("product", shown, before)
    if "default_price" in before:
        yield "v1.product.default_price_changed"


def _of_activity(kind: str, shown: Document, before: Document) -> Iterator[str]:
    if "active" in before:
        yield f"v1.{kind}.{'activated' if shown['active'] else 'deactivated'}"


_FINER_OF: Final[dict[str, Callable[[Document, Document], Iterator[str]]]] = {
    "customer.subscription": _of_subscription,
    "price": _of_price,
    "product": _of_product,
}
