"""How a subscription begins: with its first period and, unless that is a trial, the payment for it."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.agenda import TRIAL_WARNING
from flux_sandbox.billing import new_invoice
from flux_sandbox.cancellation import in_future, scheduled_end
from flux_sandbox.collection import bill, how_paid
from flux_sandbox.errors import InvalidParametersError, Problem, RefusedError
from flux_sandbox.invoice_lines import in_advance
from flux_sandbox.items import Terms, index_items, new_items
from flux_sandbox.ledger import Document
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import Params
from flux_sandbox.payments import check_method, refusal
from flux_sandbox.renewals import warn_of_trial_end

__all__ = ["KEPT_AS_GIVEN", "check_terms", "subscribe", "trial_end_of"]

_DAY: Final = 86_400
KEPT_AS_GIVEN: Final = ("collection_method", "days_until_due", "default_payment_method", "description")
"""What a subscription keeps as a request says it."""


def subscribe(action: Action, params: Params, *, paid: bool = False, schedule: str | None = None) -> Document:
    """Create a subscription, as a request describes it; `paid` if its first payment is known to succeed."""
    document = {**_new(action, params), "schedule": schedule}
    trialing = document["status"] == "trialing"
    lines = in_advance(action, document["items"], free=trialing)
    invoice = new_invoice(action, document, lines, "subscription_create", retried=False)
    how, status = (
        ("succeed", document["status"]) if paid else _first_payment(action, document, invoice, params)
    )
    index_items(action, document["items"])
    created = action.create(
        {**document, "latest_invoice": invoice["id"], "status": status}, "customer.subscription.created"
    )
    bill(action, invoice, how)
    if trialing and document["trial_end"] - TRIAL_WARNING <= action.now:
        warn_of_trial_end(action, created)
    return action.ledger.require("subscription", created["id"])


def _new(action: Action, params: Params) -> Document:
    customer = action.ledger.require("customer", params["customer"], param="customer")
    check_method(params.get("default_payment_method"), "default_payment_method")
    trial_end = trial_end_of(params, action.now)
    anchor = trial_end or action.now
    common = Terms(action.account.new_id("sub"), anchor, trial_end)
    items = new_items(action, common, params["items"])
    document = _blank(action, params) | {
        "id": common.subscription,
        "billing_cycle_anchor": anchor,
        "currency": action.ledger.require("price", items[0]["price"])["currency"],
        "customer": customer["id"],
        "items": items,
        "metadata": merge_metadata({}, params),
        "status": "trialing" if trial_end else "active",
        "trial_end": trial_end,
        "trial_start": action.now if trial_end else None,
    }
    document |= {name: params[name] for name in KEPT_AS_GIVEN if name in params}
    check_terms(action, document)
    return document | scheduled_end(document, params, action.now)


def check_terms(action: Action, subscription: Document) -> None:
    """Refuse what a subscription cannot be."""
    cycles = {
        (price["recurring"]["interval"], price["recurring"]["interval_count"])
        for price in (action.ledger.require("price", item["price"]) for item in subscription["items"])
    }
    if subscription["billing_mode"]["type"] == "classic" and len(cycles) > 1:
        message = (
            "In classic billing mode all prices on a subscription must have the same `recurring.interval` and "
            "`recurring.interval_count`."
        )
        raise RefusedError(message, param="items")
    if subscription["collection_method"] == "send_invoice" and subscription["days_until_due"] is None:
        message = "You must pass `days_until_due` when `collection_method` is `send_invoice`."
        raise RefusedError(message, param="days_until_due")


def _first_payment(
    action: Action, subscription: Document, invoice: Document, params: Params
) -> tuple[str | None, str]:
    """Return how the first invoice is paid, None if it waits, and the status that follows from that."""
    status: str = subscription["status"]
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        message = "payment_behavior=pending_if_incomplete can only be used with updates."
        raise RefusedError(message, param="payment_behavior")
    if invoice["amount_due"] == 0:
        return "succeed", status
    if subscription["collection_method"] == "send_invoice":
        return None, status
    if behavior == "default_incomplete":
        return None, "incomplete"
    how = how_paid(action, subscription)
    if how == "missing" or (how != "succeed" and behavior == "error_if_incomplete"):
        raise refusal(how)
    return how, status if how == "succeed" else "incomplete"


def _blank(action: Action, params: Params) -> Document:
    empty: dict[str, Any] = {"billing_schedules": [], "default_tax_rates": [], "discounts": []}
    nothing = (
        "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
        "customer_account days_until_due default_payment_method default_source description ended_at latest_invoice "
        "next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval "
        "pending_setup_intent pending_update schedule status_details test_clock transfer_data"
    )
    return {
        **dict.fromkeys(nothing.split()),
        **empty,
        "object": "subscription",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_mode": {"type": params.get("billing_mode", {"type": "flexible"})["type"]},
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": action.now,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "livemode": False,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": action.now,
        "trial_settings": params.get(
            "trial_settings", {"end_behavior": {"missing_payment_method": "create_invoice"}}
        ),
    }


def trial_end_of(params: Params, now: int) -> int | None:
    """Return when the trial ends that a request asks for, if it does."""
    wanted, days = params.get("trial_end"), params.get("trial_period_days")
    if wanted is not None and days is not None:
        message = "You can only specify one of these parameters: trial_end, trial_period_days."
        raise InvalidParametersError([Problem("trial_end", "parameters_exclusive", message)])
    if isinstance(wanted, int):
        return in_future(wanted, now, "trial_end")
    return now + days * _DAY if days else None
