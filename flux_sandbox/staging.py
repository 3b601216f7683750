"""`/_sandbox/…`: what a test sets up that no request to Stripe can: who pays, what the portal does, odd states."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from starlette.routing import Route

from flux_sandbox.account import Action
from flux_sandbox.cancellation import scheduled_end
from flux_sandbox.checkout import complete
from flux_sandbox.collection import settle_paid
from flux_sandbox.control_route import Asked, control_route
from flux_sandbox.errors import RefusedError
from flux_sandbox.ledger import Document
from flux_sandbox.passing import settle
from flux_sandbox.payments import AFTER_DUNNING, OUTCOMES
from flux_sandbox.rendering import render
from flux_sandbox.subscription_changes import save

__all__ = ["ROUTES", "authenticate_and_pay", "cancel_in_portal", "complete_checkout", "set_payments"]

_FIXED: Final = frozenset({"id", "items", "object"})


def set_payments(action: Action, customer: str, asked: Document) -> Document:
    """Let a customer's payments go one way from now on, or with `null` as their payment methods say."""
    found = action.ledger.require("customer", customer)
    outcome = _choice(asked, "outcome", (*OUTCOMES, None))
    action.account.payments.forced.pop(found["id"], None)
    if outcome is not None:
        action.account.payments.forced[found["id"]] = outcome
    return {"customer": customer, "outcome": outcome}


def cancel_in_portal(action: Action, subscription: str, _: Document) -> Document:
    """Cancel as Stripe's customer portal does: at the end of the period, in the way of the billing mode."""
    found = action.ledger.require("subscription", subscription)
    if found["ended_at"] is not None:
        raise RefusedError("This subscription has ended.")
    flexible = found["billing_mode"]["type"] == "flexible"
    wanted = {"cancel_at": "max_period_end"} if flexible else {"cancel_at_period_end": True}
    return save(action, found, scheduled_end(found, wanted, action.now))


def authenticate_and_pay(action: Action, invoice: str, _: Document) -> Document:
    """Pay an open invoice as the customer does, who authenticates the payment, or uses another card."""
    found = action.ledger.require("invoice", invoice)
    if found["status"] != "open":
        raise RefusedError(f"Only open invoices can be paid; this one is {found['status']}.")
    return settle_paid(action, found)


def complete_checkout(action: Action, session: str, _: Document) -> Document:
    """Complete a checkout session as its customer does."""
    return complete(action, action.ledger.require("checkout.session", session))


def _settings(action: Action, _: str, asked: Document) -> Document:
    action.account.payments.after_dunning = _choice(asked, "after_dunning", AFTER_DUNNING)
    return {"after_dunning": action.account.payments.after_dunning}


def _force(action: Action, subscription: str, asked: Document) -> Document:
    """Give a subscription members as they come: a status that nobody knows, a field of some later version."""
    found = action.ledger.require("subscription", subscription)
    if refused := sorted(_FIXED & asked.keys()):
        raise RefusedError(f"These cannot be forced: {', '.join(refused)}.")
    if asked.get("status") in ("canceled", "incomplete_expired"):
        asked = {"ended_at": action.now, **asked}  # otherwise time would go on for it
    return save(action, found, asked)


def _choice(asked: Document, name: str, choices: tuple[str | None, ...]) -> Any:
    if name not in asked or asked[name] not in choices:
        known = ", ".join(json.dumps(one) for one in choices)
        raise RefusedError(f'send {{"{name}": …}} with one of {known}')
    return asked[name]


_Stage = Callable[[Action, str, Document], Document]


def _route(path: str, stage: _Stage) -> Route:
    async def answer(asked: Asked) -> Document:
        account = asked.sandbox.account
        settle(account)
        action = Action(account, account.clock.now())
        document = stage(action, asked.path.get("id", ""), asked.read(dict[str, Any]))
        return render(account.ledger, document) if "object" in document else document

    return control_route("POST", path, answer)


ROUTES: Final = (
    _route("/_sandbox/checkout/{id}/complete", complete_checkout),
    _route("/_sandbox/customers/{id}/payments", set_payments),
    _route("/_sandbox/invoices/{id}/pay", authenticate_and_pay),
    _route("/_sandbox/settings", _settings),
    _route("/_sandbox/subscriptions/{id}", _force),
    _route("/_sandbox/subscriptions/{id}/portal_cancel", cancel_in_portal),
)
