"""Subscriptions: what a customer buys period by period."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flux_sandbox.billing import new_invoice, stop
from flux_sandbox.cancellation import cancel
from flux_sandbox.collection import bill, how_paid
from flux_sandbox.errors import MissingError
from flux_sandbox.invoice_lines import used
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.lists import in_range, page
from flux_sandbox.parameters import Params, shape
from flux_sandbox.pausing import pause_now, resume_now
from flux_sandbox.route import Call, Route
from flux_sandbox.subscribing import subscribe
from flux_sandbox.subscription_parameters import (
    CANCEL,
    CREATE,
    LIST_OF_SUBSCRIPTIONS,
    PAUSE,
    RESUME,
    UPDATE,
)
from flux_sandbox.updating import update

__all__ = ["ROUTES", "subscriptions_of"]


def subscriptions_of(ledger: Ledger, customer: str) -> Iterator[Document]:
    """Return a customer's subscriptions, ended ones included, newest first."""
    return (one for one in ledger.newest_first("subscription") if one["customer"] == customer)


def _create(call: Call) -> Document:
    return subscribe(call.action, call.params)


def _retrieve(call: Call) -> Document:
    return call.ledger.require("subscription", call.target)


def _update(call: Call) -> Document:
    return update(call.action, call.ledger.require("subscription", call.target), call.params)


def _cancel(call: Call) -> Document:
    subscription = call.ledger.require("subscription", call.target)
    if subscription["ended_at"] is not None:
        raise MissingError("subscription", call.target)  # so says Stripe, though it can be retrieved
    if call.params.get("invoice_now"):
        subscription = _final_invoice(call, subscription)
    return cancel(call.action, subscription, call.params.get("cancellation_details"))


def _final_invoice(call: Call, subscription: Document) -> Document:
    """Bill what was used until now; without that it is never billed."""
    lines = used(call.action, subscription["items"], call.now)
    if not lines or subscription["status"] == "trialing":
        return subscription
    stop(call.action, subscription)
    invoice = new_invoice(call.action, subscription, lines, "subscription_update", retried=False)
    bill(call.action, invoice, how_paid(call.action, subscription))
    return {**subscription, "latest_invoice": invoice["id"]}


def _pause(call: Call) -> Document:
    return pause_now(call.action, call.ledger.require("subscription", call.target), call.params)


def _resume(call: Call) -> Document:
    return resume_now(call.action, call.ledger.require("subscription", call.target), call.params)


def _list(call: Call) -> Document:
    return page("/v1/subscriptions", call.ledger.every("subscription"), call.params, _matches)


def _matches(subscription: Document, params: Params) -> bool:
    price = params.get("price")
    return (
        _has_status(subscription, params.get("status"))
        and subscription["customer"] == params.get("customer", subscription["customer"])
        and subscription["collection_method"]
        == params.get("collection_method", subscription["collection_method"])
        and (price is None or any(item["price"] == price for item in subscription["items"]))
        and in_range(subscription["created"], params.get("created"))
    )


def _has_status(subscription: Document, wanted: str | None) -> bool:
    ended = subscription["status"] in ("canceled", "incomplete_expired")
    if wanted is None:
        return bool(subscription["status"] != "canceled")
    return wanted in ("all", subscription["status"]) or (wanted == "ended" and ended)


ROUTES: Final = (
    Route("POST", "/v1/subscriptions", _create, shape(CREATE, "customer", "items")),
    Route("GET", "/v1/subscriptions", _list, shape(LIST_OF_SUBSCRIPTIONS)),
    Route("GET", "/v1/subscriptions/{id}", _retrieve, shape()),
    Route("POST", "/v1/subscriptions/{id}", _update, shape(UPDATE)),
    Route("DELETE", "/v1/subscriptions/{id}", _cancel, shape(CANCEL)),
    Route("POST", "/v1/subscriptions/{id}/pause", _pause, shape(PAUSE)),
    Route("POST", "/v1/subscriptions/{id}/resume", _resume, shape(RESUME)),
)
