"""What an invoice is for: a line for each item, in advance by quantity, or afterwards by usage. Nothing is prorated."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from flux_sandbox.account import Action
from flux_sandbox.ledger import Document
from flux_sandbox.meter_log import aggregate
from flux_sandbox.usage_records import recorded

__all__ = ["in_advance", "recounted", "used"]


def in_advance(action: Action, items: Iterable[Document], *, free: bool = False) -> list[Document]:
    """Return the lines of the licensed among these items, each for its current period; on trial they are free."""
    return [
        _line(action, item, item["current_period_start"], item["current_period_end"], item["quantity"], free)
        for item in items
        if "quantity" in item
    ]


def used(action: Action, items: Iterable[Document], until: int | None = None) -> list[Document]:
    """Return the lines of the metered among these items, each for its current period, or for that up to a moment."""
    return [
        _line(action, item, item["current_period_start"], until or item["current_period_end"], None)
        for item in items
        if "quantity" not in item
    ]


def recounted(action: Action, customer: str, lines: Iterable[Document], now: int) -> list[Document]:
    """Return the lines with what was used by now: usage counts until its invoice is final."""
    return [_recounted(action, customer, line, now) for line in lines]


def _recounted(action: Action, customer: str, line: Document, now: int) -> Document:
    price = action.ledger.require("price", line["pricing"]["price_details"]["price"])
    if price["recurring"]["usage_type"] != "metered":
        return line
    start, end = line["period"]["start"], line["period"]["end"]
    if price["recurring"]["meter"] is None:
        item = line["parent"]["subscription_item_details"]["subscription_item"]
        return line | _amounts(price, Decimal(recorded(action.ledger, item, start, end)))
    meter = action.ledger.require("billing.meter", price["recurring"]["meter"])
    # Of a period that ends this very second, as by an immediate cancellation, the second counts too.
    usage = action.account.meter_log.between(meter["id"], customer, start, end + (end == now))
    total = aggregate(usage, meter["default_aggregation"]["formula"], meter["event_time_window"])
    return line | _amounts(price, max(total, Decimal(0)))


def _line(
    action: Action, item: Document, start: int, end: int, quantity: int | None, free: bool = False
) -> Document:
    price = action.ledger.require("price", item["price"])
    product = action.ledger.find("product", price["product"]) or {"name": price["product"]}
    name = product["name"]
    document = {
        "id": action.account.new_id("il"),
        "object": "line_item",
        "currency": price["currency"],
        "description": f"Trial period for {name}" if free else f"{name} ({price['recurring']['interval']})",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "livemode": False,
        "metadata": item["metadata"],
        "parent": {
            "type": "subscription_item_details",
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
        },
        "period": {"start": start, "end": end},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": "0" if free else price["unit_amount_decimal"],
        },
        "taxes": [],
    }
    amounts = _amounts(price, Decimal(quantity or 0))
    return document | amounts | ({"amount": 0, "subtotal": 0} if free else {})


def _amounts(price: Document, quantity: Decimal) -> Document:
    amount = int((quantity * Decimal(price["unit_amount_decimal"])).to_integral_value(ROUND_HALF_UP))
    return {
        "amount": amount,
        "quantity": int(quantity),
        "quantity_decimal": f"{quantity:f}",
        "subtotal": amount,
    }
