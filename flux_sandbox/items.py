"""What a subscription consists of: items, each a price, its quantity and its own billing period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.errors import InvalidParametersError, MissingError, Problem, RefusedError
from flux_sandbox.ledger import Document
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import METADATA, Clearable, Fields, Flag, Params, Text, Unsimulated, Whole
from flux_sandbox.periods import next_boundary

__all__ = [
    "CHANGED_ITEM",
    "ITEM",
    "MAX_ITEMS",
    "Terms",
    "changed_items",
    "index_items",
    "new_items",
    "sellable",
]

MAX_ITEMS: Final = 20
ITEM: Final[Fields] = {
    "metadata": METADATA,
    "price": Text(),
    "quantity": Whole(maximum=999_999),
    **dict.fromkeys(
        ("billing_thresholds", "current_trial", "discounts", "plan", "price_data"), Unsimulated()
    ),
    "tax_rates": Clearable(Unsimulated()),
}
"""What can be said of an item wherever it is created or changed."""
CHANGED_ITEM: Final[Fields] = {**ITEM, "id": Text(), "deleted": Flag(), "clear_usage": Flag()}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the items of a subscription share."""

    subscription: str
    anchor: int
    trial_end: int | None

    def period(self, recurring: Document, start: int) -> dict[str, int]:
        """Return the period of an item that starts now: until the trial ends, or the next boundary."""
        end = self.trial_end or next_boundary(self.anchor, recurring, start)
        return {"current_period_start": start, "current_period_end": end}


def new_items(action: Action, terms: Terms, wanted: list[Params]) -> list[Document]:
    """Make the items of a new subscription."""
    if not wanted:
        raise InvalidParametersError([_missing("items")])
    items = [_new_item(action, terms, item, f"items[{index}]") for index, item in enumerate(wanted)]
    return _checked(action, items)


def changed_items(
    action: Action, terms: Terms, present: list[Document], wanted: list[Params]
) -> list[Document]:
    """Return a subscription's items after changes: named ones changed or deleted, the others kept, new ones added."""
    items = {item["id"]: item for item in present}
    for index, change in enumerate(wanted):
        param = f"items[{index}]"
        if "id" not in change:
            added = _new_item(action, terms, change, param)
            items[added["id"]] = added
        elif change["id"] not in items:
            raise MissingError("subscription_item", change["id"], param=f"{param}[id]")
        elif change.get("deleted"):
            del items[change["id"]]
        else:
            items[change["id"]] = _changed(action, terms, items[change["id"]], change, param)
    if not items:
        message = (
            "A subscription must have at least one active plan. "
            "To cancel a subscription, please use the cancel API endpoint on /v1/subscriptions."
        )
        raise RefusedError(message, param="items")
    return _checked(action, list(items.values()))


def index_items(action: Action, items: Iterable[Document], *, before: Iterable[Document] = ()) -> None:
    """Note of which subscription each item is, so that it can be found by its own id."""
    for item in before:
        action.ledger.bury("subscription_item", item["id"])
    for item in items:
        note = {name: item[name] for name in ("id", "object", "subscription")}
        action.ledger.put(note)


def _new_item(action: Action, terms: Terms, wanted: Params, param: str) -> Document:
    if "price" not in wanted:
        raise InvalidParametersError([_missing(f"{param}[price]")])
    price = sellable(action, wanted["price"], f"{param}[price]")
    document = {
        "id": action.account.new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": action.now,
        "discounts": [],
        "metadata": merge_metadata({}, wanted),
        "price": price["id"],
        "subscription": terms.subscription,
        "tax_rates": [],
        **terms.period(price["recurring"], action.now),
    }
    return document | _quantity(price, wanted, 1, param)


def _changed(action: Action, terms: Terms, item: Document, wanted: Params, param: str) -> Document:
    before = action.ledger.require("price", item["price"])
    price = before
    if "price" in wanted and wanted["price"] != item["price"]:
        price = sellable(action, wanted["price"], f"{param}[price]")
    changed = {name: value for name, value in item.items() if name != "quantity"}
    changed |= {"price": price["id"], "metadata": merge_metadata(item["metadata"], wanted)}
    if _cycle(price) != _cycle(before):
        changed |= terms.period(price["recurring"], action.now)
    return changed | _quantity(price, wanted, item.get("quantity", 1), param)


def sellable(action: Action, id_: str, param: str) -> Document:
    """Return a price that can be subscribed to."""
    price = action.ledger.require("price", id_, param=param)
    if not price["active"]:
        message = "The price specified is inactive. This field only accepts active prices."
        raise RefusedError(message, param=param)
    if price["type"] != "recurring":
        message = (
            "The price specified is set to `type=one_time` but this field only accepts prices with "
            "`type=recurring`."
        )
        raise RefusedError(message, param=param)
    return price


def _quantity(price: Document, wanted: Params, default: int, param: str) -> dict[str, Any]:
    """Return how many are sold; of what is metered that is not known beforehand."""
    if price["recurring"]["usage_type"] == "licensed":
        return {"quantity": wanted.get("quantity", default)}
    if "quantity" in wanted:
        message = (
            f"Quantity should not be specified where usage_type is `metered`. Remove quantity from `{param}`"
        )
        raise RefusedError(message, param=f"{param}[quantity]")
    return {}


def _cycle(price: Document) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _checked(action: Action, items: list[Document]) -> list[Document]:
    if len(items) > MAX_ITEMS:
        raise RefusedError(f"A subscription has at most {MAX_ITEMS} items.", param="items")
    currencies = {action.ledger.require("price", item["price"])["currency"] for item in items}
    if len(currencies) > 1:
        message = "All prices on a subscription must have the same `currency`."
        raise RefusedError(message, param="items")
    return items


def _missing(param: str) -> Problem:
    return Problem(param, "parameter_missing", f"Missing required param: {param}.")
