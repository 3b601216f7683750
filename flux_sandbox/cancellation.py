"""How subscriptions end: now, or at a moment that can still be taken back."""

from __future__ import annotations

from flux_sandbox.account import Action
from flux_sandbox.billing import stop
from flux_sandbox.errors import InvalidParametersError, Problem, RefusedError
from flux_sandbox.ledger import Document
from flux_sandbox.parameters import Params

__all__ = ["cancel", "cancellation_details", "end_schedule", "in_future", "scheduled_end"]

_FIVE_YEARS = 5 * 366 * 86_400


def cancel(
    action: Action,
    subscription: Document,
    details: Params | None = None,
    *,
    reason: str | None = "cancellation_requested",
) -> Document:
    """End a subscription now, for good."""
    stop(action, subscription)
    end_schedule(action, subscription, reason)
    changes = {
        "status": "canceled",
        "canceled_at": subscription["canceled_at"] or action.now,
        "ended_at": action.now,
        "cancellation_details": cancellation_details(subscription, reason, details),
    }
    return action.turn(subscription, changes, "customer.subscription.deleted")


def end_schedule(action: Action, subscription: Document, reason: str | None = None) -> None:
    """Cancel what a subscription that ends was going to become."""
    schedule = action.ledger.find("subscription_schedule", subscription["schedule"] or "")
    if schedule is not None and schedule["status"] == "active":
        changes = {"canceled_at": action.now, "current_phase": None, "status": "canceled"}
        event = "aborted" if reason == "payment_failed" else "canceled"
        action.turn(schedule, changes, f"subscription_schedule.{event}")


def in_future(moment: int, now: int, param: str) -> int:
    """Return a moment that a request names, if it is one of the next five years."""
    if not now < moment <= now + _FIVE_YEARS:
        message = f"Invalid timestamp: {param} must be in the future, and within five years."
        raise RefusedError(message, param=param)
    return moment


def scheduled_end(subscription: Document, params: Params, now: int) -> Document:
    """Return the changes that `cancel_at` and `cancel_at_period_end` ask for."""
    at_period_end, at = params.get("cancel_at_period_end"), params.get("cancel_at")
    if at_period_end and at is not None:
        message = "You can only specify one of these parameters: cancel_at, cancel_at_period_end."
        raise InvalidParametersError([Problem("cancel_at", "parameters_exclusive", message)])
    if at_period_end is None and "cancel_at" not in params:
        return {}
    end = _moment(max(_ends(subscription)) if at_period_end else at, subscription, now)
    scheduled = {"cancel_at": end, "cancel_at_period_end": bool(at_period_end)}
    if scheduled.items() <= subscription.items():
        return {}
    reason = None if end is None else "cancellation_requested"
    details = cancellation_details(subscription, reason, params.get("cancellation_details"))
    canceled_at = None if end is None else now
    return {**scheduled, "canceled_at": canceled_at, "cancellation_details": details}


def _moment(wanted: int | str | None, subscription: Document, now: int) -> int | None:
    if isinstance(wanted, str):
        return {"min_period_end": min, "max_period_end": max}[wanted](_ends(subscription))
    return None if wanted is None else in_future(wanted, now, "cancel_at")


def _ends(subscription: Document) -> list[int]:
    return [item["current_period_end"] for item in subscription["items"]]


def cancellation_details(subscription: Document, reason: str | None, details: Params | None) -> Document:
    """Return why a subscription ends, as far as is known."""
    return {**subscription["cancellation_details"], "reason": reason, **(details or {})}
