"""A customer on the page: what is subscribed to and owed, and the buttons that change it."""

from __future__ import annotations

from html import escape
from typing import Final

from flux_sandbox.account import Account
from flux_sandbox.html import button, chooser, moment, money, price_line, table
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.subscriptions import subscriptions_of

__all__ = ["customer_article"]

_MOST: Final = 50
_PAYMENTS: Final = {
    "": "as the payment method says",
    "succeed": "succeed",
    "fail": "fail",
    "require_action": "need the customer",
    "missing": "have no payment method",
}


def customer_article(account: Account, customer: Document) -> str:
    """Return all of a customer."""
    ledger = account.ledger
    name = escape(customer["name"] or customer["email"] or customer["id"])
    metadata = ", ".join(f"{key} = {value}" for key, value in customer["metadata"].items())
    rows = [_subscription_row(ledger, one) for one in subscriptions_of(ledger, customer["id"])]
    return (
        f'<article id="{customer["id"]}"><h3>{name}</h3><p><code>{customer["id"]}</code> {escape(metadata)}</p>'
        + (table(("Subscription", "Status", "Items", "Period ends", "Actions"), rows) if rows else "")
        + _payments_form(account, customer["id"], name)
        + _subscribe_form(ledger, customer["id"])
        + "</article>"
    )


def _subscription_row(ledger: Ledger, subscription: Document) -> list[str]:
    items = "<br>".join(_item(ledger, item) for item in subscription["items"])
    status = escape(subscription["status"])
    state = f'<span class="{status}">{status}</span>{_owed(ledger, subscription)}'
    id_ = f'<code id="{subscription["id"]}">{subscription["id"]}</code>'
    if subscription["ended_at"] is not None:
        return [id_, state, items, f"ended {moment(subscription['ended_at'])}", ""]
    ends = moment(min(item["current_period_end"] for item in subscription["items"]))
    if subscription["cancel_at"] is not None:
        ends += f"<br>cancels {moment(subscription['cancel_at'])}"
    return [id_, state, items, ends, _actions(ledger, subscription)]


def _owed(ledger: Ledger, subscription: Document) -> str:
    """Say what is to be paid, and when that is tried again."""
    invoice = _open_invoice(ledger, subscription)
    if invoice is None:
        return ""
    next_try = invoice["next_payment_attempt"]
    again = f", tried again {moment(next_try)}" if next_try else ""
    return f"<br>{money(invoice['amount_due'], invoice['currency'])} due{again}"


def _open_invoice(ledger: Ledger, subscription: Document) -> Document | None:
    invoice = ledger.find("invoice", subscription["latest_invoice"] or "")
    return invoice if invoice is not None and invoice["status"] == "open" else None


def _item(ledger: Ledger, item: Document) -> str:
    quantity = f"{item['quantity']} x " if "quantity" in item else ""
    return quantity + price_line(ledger, ledger.require("price", item["price"]))


def _actions(ledger: Ledger, subscription: Document) -> str:
    """Return the buttons that make sense now."""
    id_ = subscription["id"]
    invoice = _open_invoice(ledger, subscription)
    parts = []
    if invoice is not None:
        parts.append(button(f"/_sandbox/page/pay/{invoice['id']}", "Pay", about=id_))
    if subscription["status"] == "paused":
        parts.append(button(f"/_sandbox/page/resume/{id_}", "Resume", about=id_))
    else:
        parts.append(button(f"/_sandbox/page/pause/{id_}", "Pause", about=id_))
    if subscription["cancel_at"] is None:
        parts.append(button(f"/_sandbox/page/cancel_later/{id_}", "Cancel at period end", about=id_))
    else:
        parts.append(button(f"/_sandbox/page/change/{id_}", "Keep", about=id_, hidden={"cancel_at": ""}))
    parts.append(button(f"/_sandbox/page/cancel/{id_}", "Cancel now", about=id_, danger=True))
    changes = "".join(_change_form(ledger, subscription, item) for item in subscription["items"])
    return f'<div class="buttons">{"".join(parts)}</div>{changes}'


def _change_form(ledger: Ledger, subscription: Document, item: Document) -> str:
    """Return the form that sells another price, or more of it, in place of an item that has a quantity."""
    if "quantity" not in item:
        return ""
    sold = [one for one in _sold(ledger) if one["recurring"]["usage_type"] == "licensed"]
    present = ledger.require("price", item["price"])
    prices = {one["id"]: price_line(ledger, one) for one in [present, *sold]}
    about = f"of {item['id']}"
    return (
        f'<form class="change" method="post" action="/_sandbox/page/change/{subscription["id"]}">'
        f'<input type="hidden" name="items[0][id]" value="{item["id"]}">'
        + chooser("items[0][price]", f"Price {about}", prices, item["price"])
        + f'<input type="number" name="items[0][quantity]" value="{item["quantity"]}" min="0" max="999999" '
        f'aria-label="Quantity {about}"><button aria-label="Change {item["id"]}">Change</button></form>'
    )


def _payments_form(account: Account, customer: str, name: str) -> str:
    present = account.payments.forced.get(customer, "")
    return (
        f'<form class="change" method="post" action="/_sandbox/page/payments/{customer}"><span>Payments</span>'
        + chooser("outcome", f"Payments of {name}", _PAYMENTS, present)
        + f'<button aria-label="Set the payments of {name}">Set</button></form>'
    )


def _subscribe_form(ledger: Ledger, customer: str) -> str:
    choices = "".join(
        f'<label><input type="checkbox" name="items[{index}][price]" value="{price["id"]}">'
        f"{price_line(ledger, price)}</label>"
        for index, price in enumerate(_sold(ledger))
    )
    if not choices:
        return "<p>No recurring price yet: create one with <code>POST /v1/prices</code>.</p>"
    return (
        '<form method="post" action="/_sandbox/page/subscribe"><fieldset><legend>Subscribe to</legend>'
        f'<input type="hidden" name="customer" value="{customer}">{choices}'
        "<button>Subscribe</button></fieldset></form>"
    )


def _sold(ledger: Ledger) -> list[Document]:
    """Return the latest prices that can be subscribed to, oldest first."""
    sold = [one for one in ledger.newest_first("price") if one["active"] and one["recurring"]]
    return sold[:_MOST][::-1]
