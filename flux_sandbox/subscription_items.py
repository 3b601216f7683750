"""A subscription's items, one by one: for those that did not fit in it, and to change one alone."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.errors import MissingError
from flux_sandbox.items import ITEM, changed_items
from flux_sandbox.ledger import Document
from flux_sandbox.lists import page
from flux_sandbox.parameters import LIST, Fields, Flag, Text, Whole, shape
from flux_sandbox.route import Call, Route
from flux_sandbox.subscription_changes import terms
from flux_sandbox.updating import apply

__all__ = ["ROUTES"]

_NOT_OF_THE_ITEM: Final = {
    "subscription",
    "expand",
    "payment_behavior",
    "proration_behavior",
    "proration_date",
}


def _create(call: Call) -> Document:
    subscription = call.ledger.require("subscription", call.params["subscription"], param="subscription")
    present = {item["id"] for item in subscription["items"]}
    changed = _change(call, subscription, {})
    return next(item for item in changed["items"] if item["id"] not in present)


def _retrieve(call: Call) -> Document:
    return _item(call, _subscription(call))


def _update(call: Call) -> Document:
    return _item(call, _change(call, _subscription(call), {"id": call.target}))


def _delete(call: Call) -> Document:
    _change(call, _subscription(call), {"id": call.target, "deleted": True})
    return {"id": call.target, "object": "subscription_item", "deleted": True}


def _list(call: Call) -> Document:
    subscription = call.ledger.require("subscription", call.params["subscription"], param="subscription")
    return page("/v1/subscription_items", subscription["items"], call.params)


def _subscription(call: Call) -> Document:
    note = call.ledger.require("subscription_item", call.target)
    return call.ledger.require("subscription", note["subscription"])


def _item(call: Call, subscription: Document) -> Document:
    return next(item for item in subscription["items"] if item["id"] == call.target)


def _change(call: Call, subscription: Document, which: dict[str, Any]) -> Document:
    if subscription["ended_at"] is not None:
        raise MissingError("subscription", subscription["id"], param="subscription")
    wanted = {name: value for name, value in call.params.items() if name not in _NOT_OF_THE_ITEM}
    items = changed_items(call.action, terms(subscription), subscription["items"], [wanted | which])
    return apply(call.action, subscription, {"items": items}, call.params)


_HOW: Final[Fields] = {
    "payment_behavior": Text(choices=("allow_incomplete", "default_incomplete", "error_if_incomplete")),
    "proration_behavior": Text(choices=("always_invoice", "create_prorations", "none")),
    "proration_date": Whole(),
}
ROUTES: Final = (
    Route(
        "POST",
        "/v1/subscription_items",
        _create,
        shape({**ITEM, **_HOW, "subscription": Text()}, "subscription", "price"),
    ),
    Route("GET", "/v1/subscription_items", _list, shape({**LIST, "subscription": Text()}, "subscription")),
    Route("GET", "/v1/subscription_items/{id}", _retrieve, shape()),
    Route("POST", "/v1/subscription_items/{id}", _update, shape({**ITEM, **_HOW, "off_session": Flag()})),
    Route("DELETE", "/v1/subscription_items/{id}", _delete, shape({**_HOW, "clear_usage": Flag()})),
)
