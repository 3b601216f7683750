"""What time does to subscriptions: trials and pauses end, periods renew, what was scheduled happens."""

from __future__ import annotations

from flux_sandbox.account import Action
from flux_sandbox.agenda import FIRST_PAYMENT, TRIAL_WARNING
from flux_sandbox.billing import DRAFT, issue, new_invoice, stop, void_latest
from flux_sandbox.cancellation import cancel, end_schedule
from flux_sandbox.collection import drop_pending, how_paid
from flux_sandbox.invoice_lines import in_advance, used
from flux_sandbox.ledger import Document
from flux_sandbox.periods import next_boundary
from flux_sandbox.subscription_changes import pause, save

__all__ = ["pass_subscription", "warn_of_trial_end"]


def pass_subscription(action: Action, subscription: Document) -> None:
    """Do what is due for a subscription now."""
    now, pending = action.now, subscription["pending_update"]
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        _end(action, subscription)
        return
    if subscription["status"] == "incomplete":
        if subscription["created"] + FIRST_PAYMENT == now:
            _expire(action, subscription)
        return
    if pending is not None and pending["expires_at"] == now:
        subscription = drop_pending(action, subscription)
    if (subscription["pause_collection"] or {}).get("resumes_at") == now:
        subscription = save(action, subscription, {"pause_collection": None})
    trial_end = subscription["trial_end"] if subscription["status"] == "trialing" else None
    if trial_end is not None and trial_end - TRIAL_WARNING == now:
        warn_of_trial_end(action, subscription)
    if trial_end == now:
        _end_trial(action, subscription)
    elif subscription["status"] != "paused":
        _renew(action, subscription)


def warn_of_trial_end(action: Action, subscription: Document) -> None:
    """Tell that a trial ends soon."""
    action.turn(subscription, {}, "customer.subscription.trial_will_end")


def _expire(action: Action, subscription: Document) -> None:
    void_latest(action, subscription)
    end_schedule(action, subscription)
    save(action, subscription, {"ended_at": action.now, "status": "incomplete_expired"})


def _end(action: Action, subscription: Document) -> None:
    """End a subscription at the moment that was set, with an invoice for what was used until then."""
    changes: Document = {"status": "canceled", "ended_at": action.now}
    trialing = subscription["status"] == "trialing"
    lines = [] if trialing else used(action, subscription["items"], action.now)
    stop(action, subscription)
    end_schedule(action, subscription)
    if lines:
        invoice = new_invoice(action, subscription, lines, "subscription_cycle", retried=True)
        issue(action, invoice, draft_for=DRAFT)
        changes["latest_invoice"] = invoice["id"]
    action.turn(subscription, changes, "customer.subscription.deleted")


def _end_trial(action: Action, subscription: Document) -> None:
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if how_paid(action, subscription) == "missing" and behavior == "cancel":
        cancel(action, subscription, reason=None)
    elif how_paid(action, subscription) == "missing" and behavior == "pause":
        pause(action, subscription, "trial_end_without_payment_method")
    else:
        _renew(action, subscription)


def _renew(action: Action, subscription: Document) -> None:
    """Begin the next period of each item whose period is over, and bill it."""
    over = [item for item in subscription["items"] if item["current_period_end"] <= action.now]
    if not over:
        return
    begun = {item["id"]: _renewed(action, subscription, item) for item in over}
    items = [begun.get(item["id"], item) for item in subscription["items"]]
    trialing, status = subscription["status"] == "trialing", subscription["status"]
    lines = [*([] if trialing else used(action, over)), *in_advance(action, begun.values())]
    collected = status != "unpaid" and not _kept_as_draft(subscription)
    invoice = new_invoice(action, subscription, lines, "subscription_cycle", retried=collected)
    changes = {
        "items": items,
        "latest_invoice": invoice["id"],
        "status": "active" if trialing else status,
    }
    save(action, subscription, changes)
    issue(action, invoice, draft_for=DRAFT if collected else None)


def _kept_as_draft(subscription: Document) -> bool:
    return (subscription["pause_collection"] or {}).get("behavior") == "keep_as_draft"


def _renewed(action: Action, subscription: Document, item: Document) -> Document:
    start = item["current_period_end"]
    recurring = action.ledger.require("price", item["price"])["recurring"]
    end = next_boundary(subscription["billing_cycle_anchor"], recurring, start)
    return {**item, "current_period_start": start, "current_period_end": end}
