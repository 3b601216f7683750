"""Customers: who buys. A deleted one stays known as deleted, and its subscriptions end with it."""

from __future__ import annotations

from typing import Final

from flux_sandbox.account import Action
from flux_sandbox.cancellation import cancel
from flux_sandbox.errors import MissingError
from flux_sandbox.ledger import Document
from flux_sandbox.lists import in_range, page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import (
    LIST,
    METADATA,
    RANGE,
    Clearable,
    Fields,
    ListOf,
    Params,
    Shape,
    Text,
    Unsimulated,
    Whole,
    shape,
)
from flux_sandbox.payments import check_method
from flux_sandbox.route import Call, Route
from flux_sandbox.subscriptions import subscriptions_of

__all__ = ["ROUTES", "create_customer"]

_ADDRESS: Final = Shape(
    dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), Clearable(Text()))
)
_FIELDS: Final[Fields] = {
    "address": Clearable(_ADDRESS),
    "balance": Whole(minimum=-(2**53)),
    "business_name": Clearable(Text(max_length=150)),
    "description": Clearable(Text()),
    "email": Clearable(Text(max_length=512)),
    "individual_name": Clearable(Text(max_length=150)),
    "name": Clearable(Text(max_length=256)),
    "phone": Clearable(Text(max_length=20)),
    "preferred_locales": ListOf(Text()),
    "shipping": Clearable(Shape({"address": _ADDRESS, "name": Text(), "phone": Text()}, ("address", "name"))),
    "tax_exempt": Clearable(Text(choices=("exempt", "none", "reverse"))),
}
_UNSIMULATED: Final = (
    "cash_balance",
    "invoice_prefix",
    "next_invoice_sequence",
    "source",
    "tax",
    "tax_id_data",
    "test_clock",
)


def _create(call: Call) -> Document:
    return create_customer(call.action, call.params)


def create_customer(action: Action, params: Params) -> Document:
    """Create a customer."""
    document = {
        "id": action.account.new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": action.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "name": None,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        **{name: value for name, value in params.items() if name in _FIELDS and value is not None},
        "metadata": merge_metadata({}, params),
    }
    document["invoice_settings"] = _invoice_settings(params, document["invoice_settings"])
    return action.create(document, "customer.created")


def _invoice_settings(params: Params, present: Document) -> Document:
    """Return a customer's settings with the payment method that a request names; None is no default."""
    given = params.get("invoice_settings", {})
    if "default_payment_method" not in given:
        return present
    check_method(given["default_payment_method"], "invoice_settings[default_payment_method]")
    return {**present, "default_payment_method": given["default_payment_method"]}


def _retrieve(call: Call) -> Document:
    found = call.ledger.remember("customer", call.target)  # Stripe answers that one was deleted
    if found is None:
        raise MissingError("customer", call.target)
    return found


def _update(call: Call) -> Document:
    customer = call.ledger.require("customer", call.target)
    changes = {name: value for name, value in call.params.items() if name in _FIELDS}
    changes["metadata"] = merge_metadata(customer["metadata"], call.params)
    changes["invoice_settings"] = _invoice_settings(call.params, customer["invoice_settings"])
    return call.action.update(customer, changes, "customer.updated")


def _delete(call: Call) -> Document:
    customer = call.ledger.require("customer", call.target)
    for subscription in subscriptions_of(call.ledger, customer["id"]):
        if subscription["ended_at"] is None:
            cancel(call.action, subscription)
    return call.action.delete(customer, "customer.deleted")


def _list(call: Call) -> Document:
    return page("/v1/customers", call.ledger.every("customer"), call.params, _matches)


def _matches(customer: Document, params: Params) -> bool:
    return bool(customer["email"] == params.get("email", customer["email"])) and in_range(
        customer["created"], params.get("created")
    )


_WRITABLE: Final[Fields] = {
    **_FIELDS,
    "invoice_settings": Shape({"default_payment_method": Clearable(Text())}),
    "metadata": METADATA,
    "payment_method": Unsimulated(),
    **dict.fromkeys(_UNSIMULATED, Unsimulated()),
}
ROUTES: Final = (
    Route("POST", "/v1/customers", _create, shape(_WRITABLE)),
    Route("GET", "/v1/customers", _list, shape({**LIST, "created": RANGE, "email": Text()})),
    Route("GET", "/v1/customers/{id}", _retrieve, shape()),
    Route("POST", "/v1/customers/{id}", _update, shape(_WRITABLE)),
    Route("DELETE", "/v1/customers/{id}", _delete, shape()),
)
