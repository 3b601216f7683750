"""Subscriptions: what a customer buys period by period. Every payment succeeds: one is active or on trial at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.errors import InvalidParametersError, MissingError, Problem, RefusedError
from flux_sandbox.items import CHANGED_ITEM, ITEM, MAX_ITEMS, Terms, changed_items, index_items, new_items
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.lists import in_range, page
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
from flux_sandbox.route import Call, Route, merge_metadata

__all__ = ["ROUTES", "cancel", "save", "subscriptions_of", "terms"]

_DAY = 86_400
_STATUSES: Final = (
    "active",
    "all",
    "canceled",
    "ended",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)


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


def cancel(action: Action, subscription: Document, details: Params | None = None) -> Document:
    """End a subscription now, for good."""
    changes = {
        "status": "canceled",
        "canceled_at": subscription["canceled_at"] or action.now,
        "ended_at": action.now,
        "cancellation_details": _cancellation_details(subscription, "cancellation_requested", details),
    }
    return action.close(subscription, changes, "customer.subscription.deleted")


def save(action: Action, subscription: Document, changes: Document) -> Document:
    """Change a subscription."""
    if "items" in changes:
        index_items(action, changes["items"], before=subscription["items"])
    return action.update(subscription, changes, "customer.subscription.updated")


def _create(call: Call) -> Document:
    params, now = call.params, call.now
    customer = call.ledger.require("customer", params["customer"], param="customer")
    trial_end = _trial_end(params, now)
    anchor = trial_end or _anchor(params, now)
    common = Terms(call.action.account.new_id("sub"), anchor, trial_end)
    items = new_items(call.action, common, params["items"])
    currency = call.ledger.require("price", items[0]["price"])["currency"]
    document = _blank(call) | {
        "id": common.subscription,
        "billing_cycle_anchor": anchor,
        "currency": currency,
        "customer": customer["id"],
        "description": params.get("description"),
        "items": items,
        "metadata": merge_metadata({}, params),
        "status": "trialing" if trial_end else "active",
        "trial_end": trial_end,
        "trial_start": now if trial_end else None,
    }
    document |= _scheduled_end(document, params, now)
    index_items(call.action, items)
    return call.action.create(document, "customer.subscription.created")


def _blank(call: Call) -> Document:
    empty: dict[str, Any] = {"billing_schedules": [], "default_tax_rates": [], "discounts": []}
    nothing = (
        "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
        "customer_account days_until_due default_payment_method default_source ended_at latest_invoice "
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
        "collection_method": call.params.get("collection_method", "charge_automatically"),
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
        return _future(wanted, now, "trial_end")
    return now + days * _DAY if days else None


def _anchor(params: Params, now: int) -> int:
    wanted = params.get("billing_cycle_anchor")
    return now if wanted is None else _future(wanted, now, "billing_cycle_anchor")


def _future(moment: int, now: int, param: str) -> int:
    if moment <= now:
        message = f"Invalid timestamp: {param} must be an integer Unix timestamp in the future."
        raise RefusedError(message, param=param)
    return moment


def _scheduled_end(subscription: Document, params: Params, now: int) -> Document:
    """Return the changes that `cancel_at` and `cancel_at_period_end` ask for."""
    at_period_end, at = params.get("cancel_at_period_end"), params.get("cancel_at")
    if at_period_end and at is not None:
        message = "You can only specify one of these parameters: cancel_at, cancel_at_period_end."
        raise InvalidParametersError([Problem("cancel_at", "parameters_exclusive", message)])
    ends = [item["current_period_end"] for item in subscription["items"]]
    if at_period_end:
        end = max(ends)
    elif isinstance(at, str):
        end = {"min_period_end": min, "max_period_end": max}[at](ends)
    elif at is not None:
        end = _future(at, now, "cancel_at")
    elif at_period_end is False or "cancel_at" in params:
        return _no_end(subscription) if subscription["cancel_at"] is not None else {}
    else:
        return {}
    return {
        "cancel_at": end,
        "cancel_at_period_end": bool(at_period_end),
        "canceled_at": now,
        "cancellation_details": _cancellation_details(
            subscription, "cancellation_requested", params.get("cancellation_details")
        ),
    }


def _no_end(subscription: Document) -> Document:
    return {
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": _cancellation_details(subscription, None, None),
    }


def _cancellation_details(subscription: Document, reason: str | None, details: Params | None) -> Document:
    return {**subscription["cancellation_details"], "reason": reason, **(details or {})}


def _retrieve(call: Call) -> Document:
    return call.ledger.require("subscription", call.target)


def _update(call: Call) -> Document:
    subscription = call.ledger.require("subscription", call.target)
    _refuse_if_ended(subscription, call.params)
    changes: Document = {"metadata": merge_metadata(subscription["metadata"], call.params)}
    if "description" in call.params:
        changes["description"] = call.params["description"]
    if "cancellation_details" in call.params:
        reason = subscription["cancellation_details"]["reason"]
        given = call.params["cancellation_details"]
        changes["cancellation_details"] = _cancellation_details(subscription, reason, given)
    changes |= _changed_trial(call, subscription)
    if "items" in call.params:
        present = {**subscription, **changes}
        changes["items"] = changed_items(call.action, terms(present), present["items"], call.params["items"])
    changes |= _scheduled_end({**subscription, **changes}, call.params, call.now)
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
    found = (one for one in call.ledger.newest_first("subscription") if _matches(one, call.params))
    return page("/v1/subscriptions", found, call.params)


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


_COMMON: Final[Fields] = {
    "cancel_at": Clearable(Whole(words=("min_period_end", "max_period_end"))),
    "cancel_at_period_end": Flag(),
    "collection_method": Text(choices=("charge_automatically", "send_invoice")),
    "days_until_due": Whole(),
    "default_payment_method": Text(),
    "description": Clearable(Text(max_length=500)),
    "metadata": METADATA,
    "off_session": Flag(),
    "payment_behavior": Text(
        choices=("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
    ),
    "proration_behavior": Text(choices=("always_invoice", "create_prorations", "none")),
    "trial_end": Whole(words=("now",)),
    **dict.fromkeys(
        (
            "add_invoice_items",
            "application_fee_percent",
            "automatic_tax",
            "billing_schedules",
            "billing_thresholds",
            "default_source",
            "default_tax_rates",
            "discounts",
            "invoice_settings",
            "on_behalf_of",
            "payment_settings",
            "pending_invoice_item_interval",
            "transfer_data",
            "trial_from_plan",
            "trial_settings",
        ),
        Unsimulated(),
    ),
}
_CANCELLATION_DETAILS: Final = Shape(
    {"comment": Clearable(Text()), "feedback": Clearable(Text()), "feedback_option": Text()}
)
_CREATE: Final[Fields] = {
    **_COMMON,
    "backdate_start_date": Unsimulated(),
    "billing_cycle_anchor": Whole(),
    "billing_cycle_anchor_config": Unsimulated(),
    "billing_mode": Shape(
        {"type": Text(choices=("classic", "flexible")), "flexible": Unsimulated()}, ("type",)
    ),
    "currency": Text(max_length=3),
    "customer": Text(),
    "customer_account": Unsimulated(),
    "items": ListOf(Shape(ITEM), max_items=MAX_ITEMS),
    "trial_period_days": Whole(minimum=1, maximum=730),
}
_UPDATE: Final[Fields] = {
    **_COMMON,
    "billing_cycle_anchor": Unsimulated(),
    "cancellation_details": _CANCELLATION_DETAILS,
    "items": ListOf(Shape(CHANGED_ITEM), max_items=2 * MAX_ITEMS),
    "pause_collection": Unsimulated(),
    "proration_date": Whole(),
}
_CANCEL: Final[Fields] = {
    "cancellation_details": _CANCELLATION_DETAILS,
    "invoice_now": Flag(),
    "prorate": Flag(),
}
_LIST: Final[Fields] = {
    **LIST,
    "collection_method": Text(choices=("charge_automatically", "send_invoice")),
    "created": RANGE,
    "customer": Text(),
    "price": Text(),
    "status": Text(choices=_STATUSES),
}
ROUTES: Final = (
    Route("POST", "/v1/subscriptions", _create, shape(_CREATE, "customer", "items")),
    Route("GET", "/v1/subscriptions", _list, shape(_LIST)),
    Route("GET", "/v1/subscriptions/{id}", _retrieve, shape()),
    Route("POST", "/v1/subscriptions/{id}", _update, shape(_UPDATE)),
    Route("DELETE", "/v1/subscriptions/{id}", _cancel, shape(_CANCEL)),
)
