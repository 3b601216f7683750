"""The phases of a subscription's schedule: what is sold from when to when, and how a subscription enters one."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.errors import InvalidParametersError, Problem, RefusedError
from flux_sandbox.items import changed_items, sellable
from flux_sandbox.ledger import Document
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import Params
from flux_sandbox.periods import boundary
from flux_sandbox.subscription_changes import terms
from flux_sandbox.updating import apply

__all__ = ["current", "enter", "new_phases", "phase_of", "phase_params"]

_NOTHING: Final = (
    "application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds collection_method "
    "default_payment_method description invoice_settings on_behalf_of transfer_data trial_end"
)


def new_phases(action: Action, wanted: list[Params], start: int) -> list[Document]:
    """Make the phases that a request describes, one after the other from a moment on."""
    if not wanted:
        raise InvalidParametersError(
            [Problem("phases", "parameter_missing", "Missing required param: phases.")]
        )
    phases = []
    for index, params in enumerate(wanted):
        phases.append(_phase(action, params, start, f"phases[{index}]"))
        start = phases[-1]["end_date"]
    return phases


def phase_of(subscription: Document) -> Document:
    """Return the phase that a subscription is in by itself: its items, until the end of their period."""
    items = subscription["items"]
    return _document(
        currency=subscription["currency"],
        items=[_item(item["price"], item.get("quantity"), item["metadata"]) for item in items],
        metadata={},
        proration_behavior="create_prorations",
        start_date=min(item["current_period_start"] for item in items),
        end_date=max(item["current_period_end"] for item in items),
    )


def current(phases: list[Document], now: int) -> Document | None:
    """Return which phase it is now, by its two ends, if any."""
    for phase in phases:
        if phase["start_date"] <= now < phase["end_date"]:
            return {name: phase[name] for name in ("start_date", "end_date")}
    return None


def phase_params(phase: Document) -> Params:
    """Return what a new subscription in this phase is to be, in the words of a request."""
    items = [_wanted(item) for item in phase["items"]]
    return {"items": items, "metadata": phase["metadata"]}


def enter(action: Action, subscription: Document, phase: Document) -> Document:
    """Make a subscription what the phase says."""
    wanted = _matched(action, subscription, phase)
    items = changed_items(action, terms(subscription), subscription["items"], wanted)
    metadata = {**subscription["metadata"], **phase["metadata"]}
    changes = {"items": items, "metadata": metadata}
    return apply(action, subscription, changes, {"proration_behavior": phase["proration_behavior"]})


def _matched(action: Action, subscription: Document, phase: Document) -> list[Params]:
    """Return how items change: those of the same price stay, others take a new price, the rest come and go.

    An item that only changes its price keeps its period, so that it renews at the usual moment.
    """
    left = list(subscription["items"])
    found: dict[int, str] = {}
    for alike in (_same_price, _same_kind):
        for place, item in enumerate(phase["items"]):
            match = next((one for one in left if alike(action, one, item)), None)
            if match is not None and place not in found:
                left.remove(match)
                found[place] = match["id"]
    named = [{"id": found[place]} if place in found else {} for place in range(len(phase["items"]))]
    kept = [{**_wanted(item), **name} for item, name in zip(phase["items"], named, strict=True)]
    return [*kept, *({"id": item["id"], "deleted": True} for item in left)]


def _same_price(_: Action, one: Document, other: Document) -> bool:
    return bool(one["price"] == other["price"])


def _same_kind(action: Action, one: Document, other: Document) -> bool:
    return _kind(action, one["price"]) == _kind(action, other["price"])


def _kind(action: Action, price: str) -> str:
    return str(action.ledger.require("price", price)["recurring"]["usage_type"])


def _wanted(item: Document) -> Params:
    return {name: item[name] for name in ("price", "quantity", "metadata") if item.get(name) is not None}


def _phase(action: Action, params: Params, start: int, name: str) -> Document:
    prices = [
        sellable(action, item["price"], f"{name}[items][{index}][price]")
        for index, item in enumerate(params["items"])
    ]
    items = []
    for item, price in zip(params["items"], prices, strict=True):
        licensed = price["recurring"]["usage_type"] == "licensed"
        quantity = item.get("quantity", 1) if licensed else None
        items.append(_item(price["id"], quantity, merge_metadata({}, item)))
    end = _end(params, start, name)
    if end <= max(start, action.now):
        raise RefusedError("A phase must end after it starts, and in the future.", param=f"{name}[end_date]")
    return _document(
        currency=prices[0]["currency"],
        items=items,
        metadata=merge_metadata({}, params),
        proration_behavior=params.get("proration_behavior", "create_prorations"),
        start_date=start,
        end_date=end,
    )


def _end(params: Params, start: int, name: str) -> int:
    end: Any = params.get("end_date")
    duration: Any = params.get("duration")
    if (end is None) == (duration is None):
        message = f"You must specify exactly one of {name}[end_date] and {name}[duration]."
        raise InvalidParametersError([Problem(f"{name}[end_date]", "parameter_missing", message)])
    if duration is None:
        return int(end)
    return boundary(start, {"interval_count": 1, **duration}, 1)


def _document(**given: Any) -> Document:
    empty: dict[str, Any] = {"add_invoice_items": [], "default_tax_rates": [], "discounts": []}
    return {**dict.fromkeys(_NOTHING.split()), **empty, **given}


def _item(price: str, quantity: int | None, metadata: Document) -> Document:
    document: Document = {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": metadata,
        "plan": price,
        "price": price,
        "tax_rates": [],
    }
    return document if quantity is None else {**document, "quantity": quantity}
