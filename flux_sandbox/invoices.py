"""Invoices: what a customer owes for a period of a subscription."""

from __future__ import annotations

from typing import Final

from flux_sandbox.billing import finalize
from flux_sandbox.collection import (
    collect,
    forgive,
    how_paid,
    settle_paid,
    subscription_of,
    take_back,
)
from flux_sandbox.errors import RefusedError
from flux_sandbox.ledger import Document
from flux_sandbox.lists import in_range, page
from flux_sandbox.parameters import LIST, RANGE, Fields, Flag, Params, Text, Unsimulated, shape
from flux_sandbox.payments import METHODS, check_method, refusal
from flux_sandbox.route import Call, Route

__all__ = ["ROUTES"]

_STATUSES: Final = ("draft", "open", "paid", "uncollectible", "void")


def _retrieve(call: Call) -> Document:
    return call.ledger.require("invoice", call.target)


def _list(call: Call) -> Document:
    return page("/v1/invoices", call.ledger.every("invoice"), call.params, _matches)


def _matches(invoice: Document, params: Params) -> bool:
    plain = ("collection_method", "customer", "status")
    subscription = invoice["parent"]["subscription_details"]["subscription"]
    return (
        all(invoice[name] == params.get(name, invoice[name]) for name in plain)
        and subscription == params.get("subscription", subscription)
        and in_range(invoice["created"], params.get("created"))
    )


def _pay(call: Call) -> Document:
    """Pay an invoice now; that a payment failed is kept, although the request is refused for it."""
    invoice = call.ledger.require("invoice", call.target)
    check_method(call.params.get("payment_method"), "payment_method")
    if invoice["status"] == "paid":
        raise RefusedError("Invoice is already paid")
    if invoice["status"] not in ("draft", "open", "uncollectible"):
        message = f"Invoices with the status {invoice['status']} cannot be paid."
        raise RefusedError(message)
    if invoice["status"] == "draft":
        invoice = finalize(call.action, invoice)
    how = _how(call, invoice)
    if how == "succeed":
        return settle_paid(call.action, invoice)
    collect(call.action, invoice, how, automatic=False)
    raise refusal(how)


def _how(call: Call, invoice: Document) -> str:
    if call.params.get("paid_out_of_band") or not invoice["amount_due"]:
        return "succeed"
    method = call.params.get("payment_method")
    if method is None:
        return how_paid(call.action, subscription_of(call.action, invoice))
    return METHODS[str(method)]


def _lines(call: Call) -> Document:
    invoice = call.ledger.require("invoice", call.target)
    lines = [{**line, "invoice": invoice["id"]} for line in invoice["lines"]]
    return page(f"/v1/invoices/{invoice['id']}/lines", lines, call.params)


def _finalize(call: Call) -> Document:
    return finalize(call.action, _with_status(call, "draft"))


def _void(call: Call) -> Document:
    return take_back(call.action, _with_status(call, "open", "uncollectible"))


def _forgive(call: Call) -> Document:
    return forgive(call.action, _with_status(call, "open"))


def _with_status(call: Call, *wanted: str) -> Document:
    invoice = call.ledger.require("invoice", call.target)
    if invoice["status"] not in wanted:
        message = f"You can only do this to invoices that are {' or '.join(wanted)}; this one is {invoice['status']}."
        raise RefusedError(message, code="invoice_not_editable")
    return invoice


_PAY: Final[Fields] = {
    "off_session": Flag(),
    "paid_out_of_band": Flag(),
    "payment_method": Text(),
    **dict.fromkeys(("forgive", "mandate", "source"), Unsimulated()),
}
_LIST: Final[Fields] = {
    **LIST,
    "collection_method": Text(choices=("charge_automatically", "send_invoice")),
    "created": RANGE,
    "customer": Text(),
    "status": Text(choices=_STATUSES),
    "subscription": Text(),
    **dict.fromkeys(("customer_account", "due_date"), Unsimulated()),
}
ROUTES: Final = (
    Route("GET", "/v1/invoices", _list, shape(_LIST)),
    Route("GET", "/v1/invoices/{id}", _retrieve, shape()),
    Route("POST", "/v1/invoices/{id}/finalize", _finalize, shape({"auto_advance": Unsimulated()})),
    Route("GET", "/v1/invoices/{id}/lines", _lines, shape(LIST)),
    Route("POST", "/v1/invoices/{id}/mark_uncollectible", _forgive, shape()),
    Route("POST", "/v1/invoices/{id}/pay", _pay, shape(_PAY)),
    Route("POST", "/v1/invoices/{id}/void", _void, shape()),
)
