"""From the stored document to the one on the wire: references that Stripe shows inline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flux_sandbox.ledger import Document, Ledger

__all__ = ["difference", "embedded_list", "render", "render_item", "session_lines"]

_INLINE_ITEMS: Final = 10
"""So many items stand in a subscription itself; a client must ask for more, as with each list in an object."""


def render(ledger: Ledger, document: Document) -> Document:
    """Return the document as Stripe shows it."""
    renderer = _RENDERERS.get(document.get("object", ""))  # pages of v2 have no kind
    return document if renderer is None or document.get("deleted") else renderer(ledger, document)


def render_item(ledger: Ledger, item: Document) -> Document:
    """Return a subscription's item with its price, and with the plan that older code reads."""
    price = ledger.require("price", item["price"])
    return {**item, "price": price, "plan": _plan(price)}


def embedded_list(url: str, documents: list[Document], *, limit: int = _INLINE_ITEMS) -> Document:
    """Return the list object that stands inside another object."""
    return {
        "object": "list",
        "data": documents[:limit],
        "has_more": len(documents) > limit,
        "total_count": len(documents),
        "url": url,
    }


def difference(before: Any, after: Any) -> Any:
    """Return what `before` had in the places where `after` differs: Stripe's `previous_attributes`."""
    return {
        key: difference(value, after[key]) if _both_objects(value, after.get(key)) else value
        for key, value in {**dict.fromkeys(after), **before}.items()
        if after.get(key) != value
    }


def _both_objects(one: Any, other: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(other, Mapping)


def _subscription(ledger: Ledger, subscription: Document) -> Document:
    items = [render_item(ledger, item) for item in subscription["items"]]
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    pending = subscription["pending_update"]
    if pending is not None:
        waiting = [render_item(ledger, item) for item in pending["subscription_items"]]
        pending = {**pending, "subscription_items": waiting}
    return {**subscription, "items": embedded_list(url, items), "pending_update": pending}


def _invoice(_: Ledger, invoice: Document) -> Document:
    lines = [{**line, "invoice": invoice["id"]} for line in invoice["lines"]]
    return {**invoice, "lines": embedded_list(f"/v1/invoices/{invoice['id']}/lines", lines)}


def session_lines(ledger: Ledger, session: Document) -> list[Document]:
    """Return what a checkout session sells, as its own list of lines shows it."""
    return [
        {
            "id": f"li_{session['id']}_{index}",
            "object": "item",
            "currency": session["currency"],
            "price": ledger.require("price", line["price"]),
            "quantity": line.get("quantity"),
        }
        for index, line in enumerate(session["line_items"])
    ]


def _session(_: Ledger, session: Document) -> Document:
    """Return a session without what is shown only when asked for, or never."""
    return {name: value for name, value in session.items() if name not in ("line_items", "subscription_data")}


def _entitlement(_: Ledger, entitlement: Document) -> Document:
    """Return an entitlement without whose it is: that is what was asked for."""
    return {name: value for name, value in entitlement.items() if name != "customer"}


def _product_feature(ledger: Ledger, attached: Document) -> Document:
    shown = {name: value for name, value in attached.items() if name not in ("feature", "product")}
    return {**shown, "entitlement_feature": ledger.require("entitlements.feature", attached["feature"])}


def _plan(price: Document) -> Document:
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }


_RENDERERS: Final[dict[str, Callable[[Ledger, Document], Document]]] = {
    "checkout.session": _session,
    "entitlements.active_entitlement": _entitlement,
    "invoice": _invoice,
    "product_feature": _product_feature,
    "subscription": _subscription,
    "subscription_item": render_item,
    "list": lambda ledger, page: {**page, "data": [render(ledger, one) for one in page["data"]]},
}
