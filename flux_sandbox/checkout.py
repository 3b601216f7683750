"""Checkout: a page on which a customer subscribes. A test, or whoever opens the page, completes it."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.cancellation import in_future
from flux_sandbox.customers import create_customer
from flux_sandbox.errors import InvalidParametersError, Problem, RefusedError
from flux_sandbox.items import sellable
from flux_sandbox.ledger import Document
from flux_sandbox.lists import in_range, page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import (
    LIST,
    METADATA,
    RANGE,
    Clearable,
    Fields,
    Flag,
    ListOf,
    Params,
    Shape,
    Text,
    Unsimulated,
    Whole,
    shape,
)
from flux_sandbox.payments import CARD, refusal
from flux_sandbox.rendering import session_lines
from flux_sandbox.route import Call, Route
from flux_sandbox.subscribing import subscribe
from flux_sandbox.subscription_parameters import BILLING_MODE, TRIAL_SETTINGS

__all__ = ["ROUTES", "complete", "expire"]

_DAY: Final = 86_400
_NOTHING: Final = (
    "adaptive_pricing after_expiration billing_address_collection cancel_url client_reference_id client_secret "
    "collected_information consent consent_collection currency_conversion customer customer_account "
    "customer_creation customer_details customer_email invoice invoice_creation locale payment_intent payment_link "
    "payment_method_configuration_details phone_number_collection recovered_from return_url setup_intent "
    "shipping_address_collection shipping_cost submit_type subscription success_url"
)
_UNSIMULATED: Final = (
    "automatic_tax billing_address_collection consent_collection custom_fields custom_text customer_account "
    "customer_creation customer_update discounts invoice_creation payment_intent_data payment_method_collection "
    "payment_method_data payment_method_options phone_number_collection return_url saved_payment_method_options "
    "setup_intent_data shipping_options submit_type tax_id_collection"
)


def complete(action: Action, session: Document) -> Document:
    """Do what the customer does on the page: pay with a card, and authenticate that if need be."""
    if session["status"] != "open":
        raise RefusedError(f"Only open checkout sessions can be completed; this one is {session['status']}.")
    known = session["customer"] and action.ledger.require("customer", session["customer"])
    if known and action.account.payments.outcome(known) == "fail":
        raise refusal("fail")
    customer = known or create_customer(
        action, {"email": session["customer_email"] or "customer@example.com"}
    )
    subscription = subscribe(action, {"customer": customer["id"], **_subscription(session)}, paid=True)
    changes = {
        "customer": customer["id"],
        "customer_details": {"email": customer["email"], "name": customer["name"]},
        "invoice": subscription["latest_invoice"],
        "payment_status": "paid" if subscription["status"] == "active" else "no_payment_required",
        "status": "complete",
        "subscription": subscription["id"],
        "url": None,
    }
    return action.turn(session, changes, "checkout.session.completed")


def expire(action: Action, session: Document) -> Document:
    """End a session that nobody completed."""
    return action.turn(session, {"status": "expired", "url": None}, "checkout.session.expired")


def _subscription(session: Document) -> Params:
    """Return what the subscription is to be, in the words in which a request says it."""
    items = [
        {name: line[name] for name in ("price", "quantity") if name in line} for line in session["line_items"]
    ]
    return {"items": items, "default_payment_method": CARD, **session["subscription_data"]}


def _create(call: Call) -> Document:
    params = call.params
    if params["mode"] != "subscription":
        message = "flux-sandbox simulates mode=subscription only."
        raise InvalidParametersError([Problem("mode", "sandbox_not_simulated", message)])
    prices = _prices(call)
    if "customer" in params:
        call.ledger.require("customer", params["customer"], param="customer")
    id_ = f"cs_test_{call.action.account.token(24)}"
    total = sum(
        line.get("quantity", 0) * (price["unit_amount"] or 0)
        for line, price in zip(params["line_items"], prices, strict=True)
    )
    document = _blank(params) | {
        "id": id_,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "created": call.now,
        "currency": prices[0]["currency"],
        "expires_at": in_future(params.get("expires_at", call.now + _DAY), call.now, "expires_at"),
        "line_items": params["line_items"],
        "metadata": merge_metadata({}, params),
        "subscription_data": params.get("subscription_data", {}),
        "url": f"{call.action.account.address}/_sandbox/checkout/{id_}",
    }
    return call.action.add(document)


def _prices(call: Call) -> list[Document]:
    """Return the prices that are sold: refused now, rather than when somebody completes the session."""
    lines = call.params["line_items"]
    if not lines:
        raise InvalidParametersError([Problem("line_items", "parameter_missing", "line_items is empty.")])
    return [
        sellable(call.action, line["price"], f"line_items[{index}][price]")
        for index, line in enumerate(lines)
    ]


def _blank(params: Params) -> Document:
    empty: dict[str, Any] = {"custom_fields": [], "shipping_options": []}
    kept = ("cancel_url", "client_reference_id", "customer", "customer_email", "locale", "success_url")
    return {
        **dict.fromkeys(_NOTHING.split()),
        **empty,
        **{name: params[name] for name in kept if name in params},
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "livemode": False,
        "mode": params["mode"],
        "payment_method_collection": "always",
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    }


def _retrieve(call: Call) -> Document:
    return call.ledger.require("checkout.session", call.target)


def _expire(call: Call) -> Document:
    session = call.ledger.require("checkout.session", call.target)
    if session["status"] != "open":
        raise RefusedError("Only open checkout sessions can be expired.")
    return expire(call.action, session)


def _lines(call: Call) -> Document:
    session = call.ledger.require("checkout.session", call.target)
    return page(
        f"/v1/checkout/sessions/{session['id']}/line_items", session_lines(call.ledger, session), call.params
    )


def _list(call: Call) -> Document:
    return page("/v1/checkout/sessions", call.ledger.every("checkout.session"), call.params, _matches)


def _matches(session: Document, params: Params) -> bool:
    plain = ("customer", "status", "subscription")
    return all(session[name] == params.get(name, session[name]) for name in plain) and in_range(
        session["created"], params.get("created")
    )


_CREATE: Final[Fields] = {
    "allow_promotion_codes": Flag(),
    "cancel_url": Text(),
    "client_reference_id": Text(max_length=200),
    "customer": Text(),
    "customer_email": Text(max_length=800),
    "expires_at": Whole(),
    "line_items": ListOf(
        Shape(
            {
                "price": Text(),
                "quantity": Whole(maximum=999_999),
                **dict.fromkeys(
                    ("adjustable_quantity", "dynamic_tax_rates", "metadata", "price_data", "tax_rates"),
                    Unsimulated(),
                ),
            },
            ("price",),
        ),
        max_items=20,
    ),
    "locale": Text(),
    "metadata": METADATA,
    "mode": Text(choices=("payment", "setup", "subscription")),
    "payment_method_types": ListOf(Text(choices=("card",))),
    "subscription_data": Shape(
        {
            "billing_mode": BILLING_MODE,
            "description": Clearable(Text(max_length=500)),
            "metadata": METADATA,
            "trial_end": Whole(),
            "trial_period_days": Whole(minimum=1, maximum=730),
            "trial_settings": TRIAL_SETTINGS,
        }
    ),
    "success_url": Text(),
    "ui_mode": Text(choices=("hosted", "hosted_page")),
    **dict.fromkeys(_UNSIMULATED.split(), Unsimulated()),
}
ROUTES: Final = (
    Route(
        "POST",
        "/v1/checkout/sessions",
        _create,
        shape(_CREATE, "line_items", "mode", "success_url"),
    ),
    Route(
        "GET",
        "/v1/checkout/sessions",
        _list,
        shape(
            {
                **LIST,
                "created": RANGE,
                "customer": Text(),
                "status": Text(choices=("complete", "expired", "open")),
                "subscription": Text(),
                **dict.fromkeys(
                    ("customer_account", "customer_details", "payment_intent", "payment_link"), Unsimulated()
                ),
            }
        ),
    ),
    Route("GET", "/v1/checkout/sessions/{id}", _retrieve, shape()),
    Route("POST", "/v1/checkout/sessions/{id}/expire", _expire, shape()),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", _lines, shape(LIST)),
)
