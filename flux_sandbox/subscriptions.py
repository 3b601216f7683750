"""Subscriptions: what a customer buys period by period. Every payment succeeds: one is active or on trial at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.cancellation import cancel, cancellation_details, in_future, scheduled_end
from flux_sandbox.errors import InvalidParametersError, MissingError, Problem, RefusedError
from flux_sandbox.items import Terms, changed_items, index_items, new_items
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.lists import in_range, page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import Params, shape
from flux_sandbox.route import Call, Route
from flux_sandbox.subscription_parameters import CANCEL, CREATE, LIST_OF_SUBSCRIPTIONS, UPDATE

__all__ = ["ROUTES", "save", "subscriptions_of", "terms"]

_DAY = 86_400
_KEPT_AS_GIVEN: Final = ("collection_method", "days_until_due", "default_payment_method", "description")


def subscriptions_of(ledger: Ledger, customer: str) -> Iterator[Document]:
    """Return a customer's subscriptions, ended ones included, newest first."""
    return (one for one in ledger.newest_first("subscription") if one["customer"] == customer)


def terms(subscription: Document) -> Terms:
    """Return what a subscription's items share."""
    trialing = subscription["status"] == "trialing"
    return Terms(
        subscription["id"],
        subscription["billing_cycle_anchor"],
        subscription["trial_end"] if trialing else None,
    )


def save(action: Action, subscription: Document, changes: Document) -> Document:
    """Change a subscription."""
    if "items" in changes:
        index_items(action, changes["items"], before=subscription["items"])
    return action.update(subscription, changes, "customer.subscription.updated")


def _create(call: Call) -> Document:
    params, now = call.params, call.now
    customer = call.ledger.require("customer", params["customer"], param="customer")
    trial_end = _trial_end(params, now)
    anchor = trial_end or now
    common = Terms(call.action.account.new_id("sub"), anchor, trial_end)
    items = new_items(call.action, common, params["items"])
    currency = call.ledger.require("price", items[0]["price"])["currency"]
    document = _blank(call) | {
        "id": common.subscription,
        "billing_cycle_anchor": anchor,
        "currency": currency,
        "customer": customer["id"],
        "items": items,
        "metadata": merge_metadata({}, params),
        "status": "trialing" if trial_end else "active",
        "trial_end": trial_end,
        "trial_start": now if trial_end else None,
    }
    document |= {name: params[name] for name in _KEPT_AS_GIVEN if name in params}
    document |= scheduled_end(document, params, now)
    index_items(call.action, items)
    return call.action.create(document, "customer.subscription.created")


def _blank(call: Call) -> Document:
    empty: dict[str, Any] = {"billing_schedules": [], "default_tax_rates": [], "discounts": []}
    nothing = (
        "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
        "customer_account days_until_due default_payment_method default_source description ended_at latest_invoice "
        "next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval "
        "pending_setup_intent pending_update schedule test_clock transfer_data"
    )
    return {
        **dict.fromkeys(nothing.split()),
        **empty,
        "object": "subscription",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_mode": {"type": call.params.get("billing_mode", {"type": "flexible"})["type"]},
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": call.now,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "livemode": False,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": call.now,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }


def _trial_end(params: Params, now: int) -> int | None:
    """Return when the trial ends that a request asks for, if it does."""
    wanted, days = params.get("trial_end"), params.get("trial_period_days")
    if wanted is not None and days is not None:
        message = "You can only specify one of these parameters: trial_end, trial_period_days."
        raise InvalidParametersError([Problem("trial_end", "parameters_exclusive", message)])
    if isinstance(wanted, int):
        return in_future(wanted, now, "trial_end")
    return now + days * _DAY if days else None


def _retrieve(call: Call) -> Document:
    return call.ledger.require("subscription", call.target)


def _update(call: Call) -> Document:
    subscription = call.ledger.require("subscription", call.target)
    _refuse_if_ended(subscription, call.params)
    changes: Document = {"metadata": merge_metadata(subscription["metadata"], call.params)}
    changes |= {name: call.params[name] for name in _KEPT_AS_GIVEN if name in call.params}
    if "cancellation_details" in call.params:
        reason = subscription["cancellation_details"]["reason"]
        given = call.params["cancellation_details"]
        changes["cancellation_details"] = cancellation_details(subscription, reason, given)
    changes |= _changed_trial(call, subscription)
    if "items" in call.params:
        present = {**subscription, **changes}
        changes["items"] = changed_items(call.action, terms(present), present["items"], call.params["items"])
    changes |= scheduled_end({**subscription, **changes}, call.params, call.now)
    return save(call.action, subscription, changes)


def _refuse_if_ended(subscription: Document, params: Params) -> None:
    allowed = {"cancellation_details", "expand", "metadata"}
    if subscription["ended_at"] is not None and not params.keys() <= allowed:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise RefusedError(message)


def _changed_trial(call: Call, subscription: Document) -> Document:
    """Return the changes by which a trial is begun, prolonged or ended; each starts a period."""
    if "trial_end" not in call.params:
        return {}
    now = call.now
    trial_end = _trial_end(call.params, now)
    if trial_end is None and subscription["status"] != "trialing":
        return {}
    anchor = trial_end or now
    common = Terms(subscription["id"], anchor, trial_end)
    items = [
        {**item, **common.period(call.ledger.require("price", item["price"])["recurring"], now)}
        for item in subscription["items"]
    ]
    return {
        "billing_cycle_anchor": anchor,
        "items": items,
        "status": "trialing" if trial_end else "active",
        "trial_end": trial_end or now,
        "trial_start": subscription["trial_start"] or now,
    }


def _cancel(call: Call) -> Document:
    subscription = call.ledger.require("subscription", call.target)
    if subscription["ended_at"] is not None:
        raise MissingError("subscription", call.target)  # so says Stripe, though it can be retrieved
    return cancel(call.action, subscription, call.params.get("cancellation_details"))


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
)
