"""What time does: trials end, periods renew, scheduled cancellations happen, each at its own moment and in order."""

from __future__ import annotations

from flux_sandbox.account import Account, Action
from flux_sandbox.agenda import next_due
from flux_sandbox.ledger import Document
from flux_sandbox.periods import next_boundary
from flux_sandbox.subscriptions import save

__all__ = ["settle"]


def settle(account: Account) -> None:
    """Let everything happen that is due by now."""
    while due := account.agenda.pop_due(account.clock.now()):
        moment, id_ = due
        subscription = account.ledger.require("subscription", id_)
        if next_due(subscription) == moment:  # otherwise it has changed since this was noted
            _pass(Action(account, moment), subscription)


def _pass(action: Action, subscription: Document) -> None:
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= action.now:
        changes = {"status": "canceled", "ended_at": action.now}
        action.close(subscription, changes, "customer.subscription.deleted")
        return
    items = [_renewed(action, subscription, item) for item in subscription["items"]]
    save(action, subscription, {"items": items, "status": "active"})


def _renewed(action: Action, subscription: Document, item: Document) -> Document:
    start = item["current_period_end"]
    if start > action.now:
        return item
    recurring = action.ledger.require("price", item["price"])["recurring"]
    end = next_boundary(subscription["billing_cycle_anchor"], recurring, start)
    return {**item, "current_period_start": start, "current_period_end": end}
