"""The turns of an invoice's life: draft, open, then paid, void or given up; each leaves its event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.invoice_lines import recounted
from flux_sandbox.ledger import Document

__all__ = [
    "DRAFT",
    "finalize",
    "give_up",
    "issue",
    "leave",
    "new_invoice",
    "note_failure",
    "pay",
    "stop",
    "void",
    "void_latest",
]

DRAFT: Final = 3_600
"""So long the invoice of a renewal is a draft, for late usage."""
_DAY: Final = 86_400
_NOTHING: Final = (
    "account_tax_ids amount_paid_off_stripe application confirmation_secret custom_fields customer_account "
    "customer_address customer_phone customer_shipping default_source description ending_balance footer from_invoice "
    "hosted_invoice_url invoice_pdf last_finalization_error latest_revision number on_behalf_of receipt_number "
    "rendering shipping_cost shipping_details statement_descriptor test_clock threshold_reason "
    "next_payment_attempt effective_at due_date automatically_finalizes_at"
)


def new_invoice(
    action: Action, subscription: Document, lines: Sequence[Document], reason: str, *, retried: bool
) -> Document:
    """Make an invoice for a period of a subscription, not yet issued; `retried` if it is collected until paid."""
    customer: Document = action.ledger.remember("customer", subscription["customer"]) or {}
    empty: dict[str, Any] = {name: [] for name in ("customer_tax_ids", "default_tax_rates", "discounts")}
    document = {
        **dict.fromkeys(_NOTHING.split()),
        **empty,
        "id": action.account.new_id("in"),
        "object": "invoice",
        "account_country": "DE",
        "account_name": "flux-sandbox",
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": retried,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "status": None},
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "created": action.now,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_tax_exempt": "none",
        "default_payment_method": None,
        "issuer": {"type": "self"},
        "livemode": False,
        "metadata": {},
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
            },
        },
        "payment_settings": subscription["payment_settings"],
        "period_start": min((line["period"]["start"] for line in lines), default=action.now),
        "period_end": action.now,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": dict.fromkeys(
            ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        ),
        "webhooks_delivered_at": action.now,
    }
    return document | _amounts(action, document["customer"], lines)


def issue(action: Action, invoice: Document, *, draft_for: int | None = None) -> Document:
    """Add an invoice, as a draft: for some time, or until somebody finalizes it."""
    finalizes_at = None if draft_for is None else action.now + draft_for
    return action.create({**invoice, "automatically_finalizes_at": finalizes_at}, "invoice.created")


def finalize(action: Action, invoice: Document, days_until_due: int | None = None) -> Document:
    """Make a draft final: now it is to be paid."""
    changes = _amounts(action, invoice["customer"], invoice["lines"]) | {
        "automatically_finalizes_at": None,
        "due_date": None if days_until_due is None else action.now + days_until_due * _DAY,
        "effective_at": action.now,
        "ending_balance": 0,
        "number": action.account.payments.number(invoice["customer"]),
        "status": "open",
        "status_transitions": _passed(action, invoice, "finalized_at"),
    }
    return action.turn(invoice, changes, "invoice.finalized")


def pay(action: Action, invoice: Document) -> Document:
    """Note that an open invoice is paid."""
    tried = invoice["attempt_count"] or (1 if invoice["amount_due"] else 0)
    changes = {
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempt_count": tried,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "paid",
        "status_transitions": _passed(action, invoice, "paid_at"),
    }
    paid = action.turn(invoice, changes, "invoice.paid")
    return action.turn(paid, {}, "invoice.payment_succeeded")


def note_failure(
    action: Action, invoice: Document, how: str, *, counted: bool, next_try: int | None
) -> Document:
    """Note that a payment failed, or needs the customer, and when it is tried next."""
    count = invoice["attempt_count"]
    changes = {
        "attempt_count": count + 1 if counted or not count else count,
        "attempted": True,
        "next_payment_attempt": next_try,
    }
    failed = action.turn(invoice, changes, "invoice.payment_failed")
    return action.turn(failed, {}, "invoice.payment_action_required") if how == "require_action" else failed


def void(action: Action, invoice: Document) -> Document:
    """Take an invoice back."""
    changes = _over(action, invoice, "void", "voided_at")
    return action.turn(invoice, changes, "invoice.voided")


def give_up(action: Action, invoice: Document) -> Document:
    """Note that an invoice is not going to be paid."""
    changes = _over(action, invoice, "uncollectible", "marked_uncollectible_at")
    return action.turn(invoice, changes, "invoice.marked_uncollectible")


def stop(action: Action, subscription: Document) -> None:
    """Leave a subscription's latest invoice, if it is not paid yet, to whoever pays it: nothing tries to collect it."""
    invoice = action.ledger.find("invoice", subscription["latest_invoice"] or "")
    if invoice is not None and invoice["status"] in ("draft", "open"):
        leave(action, invoice)


def leave(action: Action, invoice: Document) -> None:
    """Try no more to collect an invoice."""
    changes = {"auto_advance": False, "automatically_finalizes_at": None, "next_payment_attempt": None}
    action.update(invoice, changes, "invoice.updated")


def void_latest(action: Action, subscription: Document) -> None:
    """Take a subscription's latest invoice back, if it is open."""
    invoice = action.ledger.find("invoice", subscription["latest_invoice"] or "")
    if invoice is not None and invoice["status"] == "open":
        void(action, invoice)


def _over(action: Action, invoice: Document, status: str, moment: str) -> Document:
    return {
        "auto_advance": False,
        "automatically_finalizes_at": None,
        "next_payment_attempt": None,
        "status": status,
        "status_transitions": _passed(action, invoice, moment),
    }


def _passed(action: Action, invoice: Document, moment: str) -> Document:
    return {**invoice["status_transitions"], moment: action.now}


def _amounts(action: Action, customer: str, lines: Sequence[Document]) -> Document:
    counted = recounted(action, customer, lines, action.now)
    total = sum(line["amount"] for line in counted)
    taxed = dict.fromkeys(("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"), total)
    nothing = (
        "amount_overpaid amount_paid amount_shipping post_payment_credit_notes_amount "
        "pre_payment_credit_notes_amount"
    )
    empty: dict[str, Any] = {
        name: [] for name in ("total_discount_amounts", "total_pretax_credit_amounts", "total_taxes")
    }
    return {
        **dict.fromkeys(nothing.split(), 0),
        **taxed,
        **empty,
        "amount_due": total,
        "amount_remaining": total,
        "lines": counted,
    }
