"""`expand[]`: other objects in place of their ids."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.errors import InvalidParametersError, Problem
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.rendering import embedded_list, render, session_lines

__all__ = ["expand"]

_REFERENCES: Final = {
    "customer": "customer",
    "default_price": "price",
    "feature": "entitlements.feature",
    "invoice": "invoice",
    "latest_invoice": "invoice",
    "product": "product",
    "schedule": "subscription_schedule",
    "subscription": "subscription",
}
"""Names of members that hold an id, and the kind of object that it is of."""
_MAX_DEPTH: Final = 4


def expand(ledger: Ledger, document: Document, paths: list[str]) -> Document:
    """Return a rendered document in which each path leads to an object."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > _MAX_DEPTH:
            message = f"You cannot expand more than {_MAX_DEPTH} levels of a property. Property: {path}"
            raise _refusal(message)
        document = _follow(ledger, document, steps, path)
    return document


def _follow(ledger: Ledger, value: Any, steps: list[str], path: str) -> Any:
    if isinstance(value, list):
        return [_follow(ledger, one, steps, path) for one in value]
    if not steps or value is None:
        return value
    if not isinstance(value, dict):
        raise _refusal(f"This property cannot be expanded ({path}).")
    name, *rest = steps
    return {**value, name: _follow(ledger, _member(ledger, value, name, path), rest, path)}


def _member(ledger: Ledger, document: Document, name: str, path: str) -> Any:
    """Return a member as an object, a list or nothing; anything else cannot be expanded."""
    if document.get("object") == "customer" and name == "subscriptions":
        return _subscriptions(ledger, document)
    if document.get("object") == "checkout.session" and name == "line_items":
        stored = ledger.require("checkout.session", document["id"])
        return embedded_list(
            f"/v1/checkout/sessions/{document['id']}/line_items", session_lines(ledger, stored)
        )
    value = document.get(name)
    if isinstance(value, str) and name in _REFERENCES:
        found = ledger.remember(_REFERENCES[name], value)
        return value if found is None else render(ledger, found)
    if name in document and (value is None or isinstance(value, dict | list)):
        return value
    raise _refusal(f"This property cannot be expanded ({path}).")


def _subscriptions(ledger: Ledger, customer: Document) -> Document:
    found = [
        render(ledger, one)
        for one in ledger.newest_first("subscription")
        if one["customer"] == customer["id"] and one["ended_at"] is None
    ]
    return embedded_list(f"/v1/customers/{customer['id']}/subscriptions", found)


def _refusal(message: str) -> InvalidParametersError:
    return InvalidParametersError([Problem("expand", "parameter_invalid", message)])
