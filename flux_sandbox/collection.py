"""How invoices are paid, or not, and what that does to their subscriptions."""

from __future__ import annotations

from typing import Final

from flux_sandbox.account import Action
from flux_sandbox.billing import finalize, give_up, issue, leave, note_failure, pay, stop, void, void_latest
from flux_sandbox.cancellation import cancel
from flux_sandbox.ledger import Document
from flux_sandbox.subscription_changes import restarted, resume, save

__all__ = [
    "RETRIES",
    "bill",
    "collect",
    "drop_pending",
    "forgive",
    "how_paid",
    "pass_invoice",
    "settle_paid",
    "subscription_of",
    "take_back",
]

_DAY: Final = 86_400
RETRIES: Final = tuple(days * _DAY for days in (1, 2, 3, 5, 7, 9, 11, 14))
"""When a renewal's payment is tried again, in seconds after the first try. (Stripe chooses its moments.)"""


def how_paid(action: Action, subscription: Document) -> str:
    """Return how the next payment for a subscription goes."""
    customer = action.ledger.remember("customer", subscription["customer"]) or {"id": ""}
    return action.account.payments.outcome(customer, subscription["default_payment_method"])


def subscription_of(action: Action, invoice: Document) -> Document:
    """Return the subscription that an invoice is for."""
    return action.ledger.require(
        "subscription", invoice["parent"]["subscription_details"]["subscription"], param="invoice"
    )


def bill(action: Action, invoice: Document, how: str | None) -> Document:
    """Issue an invoice that is final at once, and try to collect it, unless `how` is None: then it waits open."""
    opened = finalize(action, issue(action, invoice), _days_until_due(action, invoice))
    if opened["amount_due"] == 0:
        return settle_paid(action, opened)
    return opened if how is None else collect(action, opened, how)


def collect(action: Action, invoice: Document, how: str, *, automatic: bool = True) -> Document:
    """Try to collect an open invoice: the subscription follows."""
    if how == "succeed":
        return settle_paid(action, invoice)
    retried = invoice["auto_advance"] and automatic
    next_try = _next_try(invoice) if retried else invoice["next_payment_attempt"]
    failed = note_failure(action, invoice, how, counted=automatic, next_try=next_try)
    subscription = subscription_of(action, failed)
    if not retried or subscription["ended_at"] is not None:
        return failed
    if next_try is None:
        _end_dunning(action, subscription)
    elif subscription["status"] == "active":
        save(action, subscription, {"status": "past_due"})
    return action.ledger.require("invoice", failed["id"])


def settle_paid(action: Action, invoice: Document) -> Document:
    """Note that an invoice is paid: what waited for that happens."""
    paid = pay(action, invoice)
    subscription = _waiting(action, paid)
    if subscription is None:
        return paid
    if subscription["pending_update"] is not None:
        _apply_pending(action, subscription)
    elif subscription["status"] == "incomplete":
        save(action, subscription, {"status": "active"})
    else:
        _go_on(action, subscription)
    return paid


def forgive(action: Action, invoice: Document) -> Document:
    """Give an invoice up: its subscription goes on all the same, if it has ever begun."""
    forgiven = give_up(action, invoice)
    subscription = _waiting(action, forgiven)
    if subscription is not None:
        _go_on(action, subscription)
    return forgiven


def take_back(action: Action, invoice: Document) -> Document:
    """Void an invoice: what waited for its payment never happens."""
    voided = void(action, invoice)
    subscription = _waiting(action, voided)
    if subscription is None:
        return voided
    if subscription["pending_update"] is not None:
        drop_pending(action, subscription)
    elif subscription["status"] == "incomplete":
        save(action, subscription, {"ended_at": action.now, "status": "incomplete_expired"})
    return voided


def drop_pending(action: Action, subscription: Document) -> Document:
    """Discard a change that waited for its payment, and the invoice for it."""
    void_latest(action, subscription)
    changes = {"pending_update": None}
    return action.update(subscription, changes, "customer.subscription.pending_update_expired")


def pass_invoice(action: Action, invoice: Document) -> None:
    """Do what is due for an invoice now."""
    subscription = subscription_of(action, invoice)
    if subscription["ended_at"] is not None and subscription["latest_invoice"] != invoice["id"]:
        leave(
            action, invoice
        )  # what a subscription owed before its last invoice is not collected after its end
    elif invoice["status"] == "draft":
        _close_draft(action, invoice, subscription)
    elif invoice["next_payment_attempt"] == action.now:
        collect(action, invoice, how_paid(action, subscription))
    elif invoice["due_date"] == action.now:
        action.turn(invoice, {}, "invoice.overdue")
        if subscription["status"] == "active":
            save(action, subscription, {"status": "past_due"})
    elif subscription["status"] == "paused" and subscription["latest_invoice"] == invoice["id"]:
        void(action, invoice)  # it was to resume the subscription, and nobody paid


def _waiting(action: Action, invoice: Document) -> Document | None:
    """Return the subscription whose state depends on this invoice, if it is the latest."""
    subscription = subscription_of(action, invoice)
    ended = subscription["ended_at"] is not None
    return None if ended or subscription["latest_invoice"] != invoice["id"] else subscription


def _go_on(action: Action, subscription: Document) -> None:
    if subscription["status"] == "paused":
        resume(action, subscription, restarted(action, subscription, action.now))
    elif subscription["status"] in ("past_due", "unpaid"):
        save(action, subscription, {"status": "active"})


def _close_draft(action: Action, invoice: Document, subscription: Document) -> None:
    behavior = (subscription["pause_collection"] or {}).get("behavior")
    if behavior == "void":
        void(action, invoice)
        return
    opened = finalize(action, invoice, _days_until_due(action, invoice))
    if behavior == "mark_uncollectible":
        give_up(action, opened)
    elif opened["amount_due"] == 0:
        settle_paid(action, opened)
    elif opened["collection_method"] == "charge_automatically":
        collect(action, opened, how_paid(action, subscription))


def _next_try(invoice: Document) -> int | None:
    tried = invoice["attempt_count"]
    first: int = invoice["status_transitions"]["finalized_at"]
    return first + RETRIES[tried] if tried < len(RETRIES) else None


def _end_dunning(action: Action, subscription: Document) -> None:
    after = action.account.payments.after_dunning
    if after == "canceled":
        cancel(action, subscription, reason="payment_failed")
        return
    stop(action, subscription)
    save(action, subscription, {"status": after})


def _apply_pending(action: Action, subscription: Document) -> None:
    pending = subscription["pending_update"]
    changes = {"items": pending["subscription_items"], "pending_update": None}
    if pending["billing_cycle_anchor"] is not None:
        changes["billing_cycle_anchor"] = pending["billing_cycle_anchor"]
    applied = save(action, subscription, changes)
    action.turn(applied, {}, "customer.subscription.pending_update_applied")


def _days_until_due(action: Action, invoice: Document) -> int | None:
    if invoice["collection_method"] != "send_invoice":
        return None
    days: int | None = subscription_of(action, invoice)["days_until_due"]
    return days or 0
