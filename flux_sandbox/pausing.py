"""How a subscription is paused, so that it neither goes on nor bills, and how it is resumed."""

from __future__ import annotations

from flux_sandbox.account import Action
from flux_sandbox.billing import new_invoice
from flux_sandbox.collection import bill, how_paid
from flux_sandbox.errors import RefusedError
from flux_sandbox.invoice_lines import in_advance, used
from flux_sandbox.ledger import Document
from flux_sandbox.parameters import Params
from flux_sandbox.subscription_changes import pause, restarted, resume, save

__all__ = ["pause_now", "resume_now"]


def pause_now(action: Action, subscription: Document, params: Params) -> Document:
    """Pause a subscription, and bill what was used until now."""
    if subscription["billing_mode"]["type"] != "flexible":
        raise RefusedError("Only subscriptions with `billing_mode` `flexible` can be paused.")
    if subscription["schedule"] is not None:
        raise RefusedError("A subscription with an attached schedule cannot be paused.")
    if subscription["status"] not in ("active", "past_due", "trialing"):
        message = f"A subscription with the status `{subscription['status']}` cannot be paused."
        raise RefusedError(message)
    through = params.get("bill_for", {}).get("outstanding_usage_through", {"type": "now"})
    billed = through["type"] == "now" and subscription["status"] != "trialing"
    lines = used(action, subscription["items"], action.now) if billed else []
    if lines:
        invoice = new_invoice(action, subscription, lines, "subscription_update", retried=True)
        subscription = save(action, subscription, {"latest_invoice": invoice["id"]})
        bill(action, invoice, how_paid(action, subscription))
        subscription = action.ledger.require("subscription", subscription["id"])
    return pause(action, subscription, "pause_requested")


def resume_now(action: Action, subscription: Document, params: Params) -> Document:
    """Resume a paused subscription: with a new period, which must be paid, or in what is left of the old grid."""
    if subscription["status"] != "paused":
        raise RefusedError("This subscription cannot be resumed because it is not paused.")
    if subscription["collection_method"] != "charge_automatically":
        raise RefusedError("Only subscriptions that charge automatically can be resumed.")
    if _anchor(params) == "unchanged":
        changes = restarted(action, subscription, subscription["billing_cycle_anchor"])
        return resume(action, subscription, changes)
    changes = restarted(action, subscription, action.now)
    how = how_paid(action, subscription)
    waits = params.get("payment_behavior") == "resume_on_payment_success"
    lines = in_advance(action, changes["items"])
    invoice = new_invoice(action, subscription, lines, "subscription_update", retried=not waits)
    if waits and how != "succeed" and invoice["amount_due"]:
        save(action, subscription, {"latest_invoice": invoice["id"]})
    else:
        resume(action, subscription, {**changes, "latest_invoice": invoice["id"]})
    bill(action, invoice, how)
    return action.ledger.require("subscription", subscription["id"])


def _anchor(params: Params) -> str:
    wanted = params.get("billing_cycle_anchor", "now")
    return str(wanted["type"] if isinstance(wanted, dict) else wanted)
