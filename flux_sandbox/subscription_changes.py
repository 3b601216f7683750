"""How a subscription changes: with its event, and with its items still to be found by their own ids."""

from __future__ import annotations

from flux_sandbox.account import Action
from flux_sandbox.items import Terms, index_items
from flux_sandbox.ledger import Document

__all__ = ["pause", "restarted", "resume", "save", "terms"]


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


def restarted(action: Action, subscription: Document, anchor: int, trial_end: int | None = None) -> Document:
    """Return the changes by which each item begins a period now, on a grid of moments from the anchor on."""
    common = Terms(subscription["id"], anchor, trial_end)
    items = [
        {**item, **common.period(action.ledger.require("price", item["price"])["recurring"], action.now)}
        for item in subscription["items"]
    ]
    return {"billing_cycle_anchor": anchor, "items": items}


def pause(action: Action, subscription: Document, reason: str) -> Document:
    """Let a subscription's periods end now; none begins until it is resumed."""
    items = [{**item, "current_period_end": action.now} for item in subscription["items"]]
    details = {
        "paused": {
            "subscription": {"type": reason},
            "transitioned_at": action.now,
            "type": "subscription",
        }
    }
    changes = {"items": items, "status": "paused", "status_details": details}
    return action.turn(save(action, subscription, changes), {}, "customer.subscription.paused")


def resume(action: Action, subscription: Document, changes: Document) -> Document:
    """Let a paused subscription go on, as the changes say."""
    resumed = save(action, subscription, {"status": "active", "status_details": None, **changes})
    return action.turn(resumed, {}, "customer.subscription.resumed")
