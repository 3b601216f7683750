"""API versions: objects are kept in the newest shape, and each older version is told by what it showed in another way.

The table goes back change by change: to show an object as of a version, every change that came after it is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flux_sandbox import API_VERSION
from flux_sandbox.errors import InvalidParametersError, Problem
from flux_sandbox.ledger import Document
from flux_sandbox.rendering import difference

__all__ = ["BASIL", "VERSIONS", "as_of", "checked_version", "event_as_of"]

BASIL: Final = "2025-03-31.basil"
"""The version that knows meters only, and of each item its own period."""
VERSIONS: Final = (
    API_VERSION,
    "2026-09-30.endive",
    "2026-08-26.dahlia",
    "2026-03-25.dahlia",
    "2025-09-30.clover",
    "2025-08-27.basil",
    "2025-06-30.basil",
    "2025-05-28.basil",
    BASIL,
    "2025-02-24.acacia",
    "2024-09-30.acacia",
    "2024-06-20",
    "2023-10-16",
    "2022-11-15",
    "2020-08-27",
    "2019-10-17",
    "2019-02-19",
)
"""Versions that a request, an endpoint or the account may name, newest first."""


def checked_version(name: str) -> str:
    """Return the version of that name, if it is one."""
    if name not in VERSIONS:
        message = f"Invalid Stripe API version: {name}. flux-sandbox knows {', '.join(VERSIONS)}."
        raise InvalidParametersError([Problem("", "invalid_api_version", message)])
    return name


def as_of(value: Any, version: str) -> Any:
    """Return a document, and all in it, in the shape of a version; an event stays in the one it was made with."""
    if isinstance(value, list):
        return [as_of(each, version) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("object") == "event":
        return event_as_of(value, value["api_version"])
    older = {name: as_of(each, version) for name, each in value.items()}
    for change in _CHANGES:
        if version < change.since and older.get("object") in change.undo:
            older = change.undo[older["object"]](older)
    return older


def event_as_of(event: Document, version: str) -> Document:
    """Return an event that shows its object in the shape of a version."""
    data = event["data"]
    after = as_of(data["object"], version)
    shown = {"object": after}
    if "previous_attributes" in data:
        before = as_of(_merged(data["object"], data["previous_attributes"]), version)
        shown["previous_attributes"] = difference(before, after)
    return {**event, "api_version": version, "data": shown}


def _merged(after: Any, previous: Any) -> Any:
    """Return what `difference` was taken from: `after` with what was in its places before."""
    if not isinstance(after, Mapping) or not isinstance(previous, Mapping):
        return previous
    return {**after, **{name: _merged(after.get(name), value) for name, value in previous.items()}}


@dataclass(frozen=True, slots=True)
class _Change:
    since: str
    """The first version that has it; versions compare as texts, since each begins with its day."""
    undo: Mapping[str, Callable[[Document], Document]]


_PERIOD: Final = ("current_period_start", "current_period_end")


def _with_its_own_period(subscription: Document) -> Document:
    """Have one period for all items."""
    items = _items(subscription)
    if not items:
        return subscription
    latest = max(items, key=lambda item: item["current_period_end"])
    without = [{name: value for name, value in item.items() if name not in _PERIOD} for item in items]
    period = {name: latest[name] for name in _PERIOD}
    return {**subscription, **period, "items": {**subscription["items"], "data": without}}


def _items(subscription: Document) -> list[Document]:
    """Return the items; a test may tell of a subscription that says nothing of them."""
    return list(subscription.get("items", {}).get("data", []))


def _aggregating(terms: Document) -> Document:
    """Say how usage is aggregated that no meter counts: what is metered without one adds up."""
    legacy = terms.get("usage_type") == "metered" and terms.get("meter") is None
    return {"aggregate_usage": "sum" if legacy else None, **terms}


def _with_aggregate_usage(price: Document) -> Document:
    recurring = price.get("recurring")
    return price if recurring is None else {**price, "recurring": _aggregating(recurring)}


def _with_its_subscription(invoice: Document) -> Document:
    """Name the subscription in the invoice itself."""
    parent = invoice.get("parent") or {}
    details = parent.get("subscription_details") or {}
    older = {name: value for name, value in invoice.items() if name != "parent"}
    return {**older, "paid": invoice.get("status") == "paid", "subscription": details.get("subscription")}


def _with_its_plan(subscription: Document) -> Document:
    """Name the plan and the quantity of the only item in the subscription itself."""
    items = _items(subscription)
    only = items[0] if len(items) == 1 else {}
    return {**subscription, "plan": only.get("plan"), "quantity": only.get("quantity")}


def _with_billing(subscription: Document) -> Document:
    """Call `collection_method` and `start_date` as they were called then."""
    return {_THEN.get(name, name): value for name, value in subscription.items()}


_THEN: Final = {"collection_method": "billing", "start_date": "start"}
_CHANGES: Final = (
    _Change(
        BASIL,
        {
            "invoice": _with_its_subscription,
            "plan": _aggregating,
            "price": _with_aggregate_usage,
            "subscription": _with_its_own_period,
        },
    ),
    _Change("2020-08-27", {"subscription": _with_its_plan}),
    _Change("2019-10-17", {"subscription": _with_billing}),
)
"""What changed, newest first."""
