"""Who pays: each payment succeeds, unless the test or the payment method says that it does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from flux_sandbox.errors import MissingError, PaymentError, RefusedError, StripeError
from flux_sandbox.ledger import Document

__all__ = ["AFTER_DUNNING", "CARD", "METHODS", "OUTCOMES", "Payments", "check_method", "refusal"]

OUTCOMES: Final = ("succeed", "fail", "require_action", "missing")
"""How a customer's payments go; `missing` is a customer who has no payment method."""
AFTER_DUNNING: Final = ("canceled", "unpaid", "past_due")
"""What a subscription becomes once the last try to collect a payment has failed."""

CARD: Final = "pm_card_visa"
METHODS: Final = {
    CARD: "succeed",
    "pm_card_mastercard": "succeed",
    "pm_card_chargeCustomerFail": "fail",
    "pm_card_authenticationRequired": "require_action",
}
"""Stripe's payment methods for tests, as far as they are known here."""
_WHY: Final = {
    "fail": ("card_declined", "Your card was declined."),
    "missing": (
        "resource_missing",
        "This customer has no attached payment source or default payment method.",
    ),
    "require_action": (
        "subscription_payment_intent_requires_action",
        "This payment requires additional user action before it can be completed successfully.",
    ),
}


@dataclass(slots=True)
class Payments:
    """What a test has set of payments, and how many invoices each customer has had."""

    forced: dict[str, str] = field(default_factory=dict)
    after_dunning: str = "canceled"
    numbers: Counter[str] = field(default_factory=Counter)

    def outcome(self, customer: Document, *methods: str | None) -> str:
        """Return how a payment goes: as the test forced it, or with the first payment method that there is."""
        forced = self.forced.get(customer["id"])
        if forced is not None and not (forced == "missing" and any(methods)):
            return forced
        settings = customer.get("invoice_settings") or {}  # a deleted customer has none
        used = [one for one in (*methods, settings.get("default_payment_method")) if one]
        return METHODS[used[0]] if used else "succeed"

    def number(self, customer: str) -> str:
        """Return the number of the customer's next invoice."""
        self.numbers[customer] += 1
        return f"{customer[-8:].upper()}-{self.numbers[customer]:04d}"


def check_method(method: str | None, param: str) -> None:
    """Refuse a payment method that is none of those for tests."""
    if method is not None and method not in METHODS:
        raise MissingError("payment_method", method, param=param)


def refusal(how: str) -> StripeError:
    """Return what Stripe answers where a payment must succeed, and does not."""
    code, message = _WHY[how]
    return RefusedError(message, code=code) if how == "missing" else PaymentError(message, code=code)
