"""How a subscription is changed, and what of the change is paid at once: nothing is prorated."""

from __future__ import annotations

from typing import Final

from flux_sandbox.account import Action
from flux_sandbox.agenda import FIRST_PAYMENT, TRIAL_WARNING
from flux_sandbox.billing import new_invoice, void_latest
from flux_sandbox.cancellation import cancellation_details, in_future, scheduled_end
from flux_sandbox.collection import bill, how_paid
from flux_sandbox.errors import RefusedError
from flux_sandbox.invoice_lines import in_advance
from flux_sandbox.items import changed_items
from flux_sandbox.ledger import Document
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import Params
from flux_sandbox.payments import check_method, refusal
from flux_sandbox.renewals import warn_of_trial_end
from flux_sandbox.subscribing import KEPT_AS_GIVEN, check_terms, trial_end_of
from flux_sandbox.subscription_changes import restarted, save, terms

__all__ = ["apply", "update"]

_PENDING: Final = frozenset(
    {"expand", "items", "off_session", "payment_behavior", "proration_behavior", "proration_date"}
)
"""What a request may say that waits for its payment."""


def update(action: Action, subscription: Document, params: Params) -> Document:
    """Change a subscription, as a request says."""
    _refuse_if_ended(subscription, params)
    check_method(params.get("default_payment_method"), "default_payment_method")
    changes: Document = {"metadata": merge_metadata(subscription["metadata"], params)}
    changes |= {name: params[name] for name in (*KEPT_AS_GIVEN, "trial_settings") if name in params}
    if "cancellation_details" in params:
        reason, given = subscription["cancellation_details"]["reason"], params["cancellation_details"]
        changes["cancellation_details"] = cancellation_details(subscription, reason, given)
    changes |= _paused_collection(params, action.now)
    changes |= _changed_trial(action, subscription, params)
    if "items" in params:
        present = {**subscription, **changes}
        changes["items"] = changed_items(action, terms(present), present["items"], params["items"])
    changes |= scheduled_end({**subscription, **changes}, params, action.now)
    return apply(action, subscription, changes, params)


def apply(action: Action, subscription: Document, changes: Document, params: Params) -> Document:
    """Make changes, and bill what must be paid at once; or let them wait for that payment, if the request says so."""
    after = {**subscription, **changes}
    check_terms(action, after)
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        _refuse_unless_pending(params)
    lines = in_advance(action, _billed_now(subscription, after, params))
    if not lines:
        return _warned(action, subscription, save(action, subscription, changes))
    invoice = new_invoice(action, after, lines, "subscription_update", retried=True)
    how = _how_paid(action, after, invoice, behavior)
    if how not in (None, "succeed") and behavior == "error_if_incomplete":
        raise refusal(how)
    return _bill(action, subscription, changes, invoice, how, behavior)


def _how_paid(action: Action, after: Document, invoice: Document, behavior: str) -> str | None:
    """Return how a change's invoice is paid, None if it waits for the customer."""
    if invoice["amount_due"] == 0:
        return "succeed"
    waits = behavior == "default_incomplete" or after["collection_method"] == "send_invoice"
    return None if waits else how_paid(action, after)


def _bill(
    action: Action,
    subscription: Document,
    changes: Document,
    invoice: Document,
    how: str | None,
    behavior: str,
) -> Document:
    """Make changes with their invoice, or only note them until that is paid."""
    changes = {**changes, "latest_invoice": invoice["id"], "pending_update": None}
    if behavior == "pending_if_incomplete" and how not in (None, "succeed"):
        invoice = {**invoice, "auto_advance": False}
        changes = {"latest_invoice": invoice["id"], "pending_update": _pending(action, changes)}
    elif behavior == "default_incomplete" and how is None:
        changes["status"] = "past_due"
    if subscription["pending_update"] is not None:
        void_latest(action, subscription)
    save(action, subscription, changes)
    bill(action, invoice, how)
    return action.ledger.require("subscription", subscription["id"])


def _billed_now(subscription: Document, after: Document, params: Params) -> list[Document]:
    """Return the items that an update makes the customer pay for at once."""
    if after["status"] not in ("active", "past_due"):
        return []
    items: list[Document] = after["items"]
    if subscription["status"] == "trialing":
        return items  # the trial was ended
    before = {item["id"]: item for item in subscription["items"]}
    asked = params.get("proration_behavior") == "always_invoice"
    asked |= params.get("payment_behavior") == "pending_if_incomplete"
    terms_of = _terms if asked else _period
    return [
        item for item in items if terms_of(item) != terms_of(before.get(item["id"], {} if asked else item))
    ]


def _terms(item: Document) -> tuple[object, ...]:
    return item.get("price"), item.get("quantity"), *_period(item)


def _period(item: Document) -> tuple[object, ...]:
    return item.get("current_period_start"), item.get("current_period_end")


def _pending(action: Action, changes: Document) -> Document:
    return {
        "billing_cycle_anchor": None,
        "cancel_at_period_end": None,
        "discounts": None,
        "expires_at": action.now + FIRST_PAYMENT,
        "metadata": None,
        "subscription_items": changes["items"],
        "trial_end": None,
        "trial_from_plan": None,
    }


def _refuse_unless_pending(params: Params) -> None:
    others = ", ".join(sorted(params.keys() - _PENDING))
    if others or "items" not in params:
        message = (
            f"payment_behavior=pending_if_incomplete needs items, and cannot be used with: {others or '-'}."
        )
        raise RefusedError(message, param="payment_behavior")


def _refuse_if_ended(subscription: Document, params: Params) -> None:
    allowed = {"cancellation_details", "expand", "metadata"}
    if subscription["ended_at"] is not None and not params.keys() <= allowed:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise RefusedError(message)


def _paused_collection(params: Params, now: int) -> Document:
    if "pause_collection" not in params:
        return {}
    wanted = params["pause_collection"]
    if wanted is None:
        return {"pause_collection": None}
    resumes_at = wanted.get("resumes_at")
    if resumes_at is not None:
        in_future(resumes_at, now, "pause_collection[resumes_at]")
    return {"pause_collection": {"behavior": wanted["behavior"], "resumes_at": resumes_at}}


def _changed_trial(action: Action, subscription: Document, params: Params) -> Document:
    """Return the changes by which a trial is begun, prolonged or ended; each starts a period."""
    if "trial_end" not in params:
        return {}
    trial_end = trial_end_of(params, action.now)
    if trial_end is None and subscription["status"] != "trialing":
        return {}
    return {
        **restarted(action, subscription, trial_end or action.now, trial_end),
        "status": "trialing" if trial_end else "active",
        "trial_end": trial_end or action.now,
        "trial_start": subscription["trial_start"] or action.now,
    }


def _warned(action: Action, before: Document, after: Document) -> Document:
    """Tell at once that a trial ends soon, if it was changed to do so."""
    changed = after["trial_end"] != before["trial_end"] and after["status"] == "trialing"
    if changed and after["trial_end"] - TRIAL_WARNING <= action.now:
        warn_of_trial_end(action, after)
    return after
