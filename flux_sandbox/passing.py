"""What time does by itself, at each thing's own moment and in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flux_sandbox.account import Account, Action
from flux_sandbox.agenda import moments
from flux_sandbox.checkout import expire
from flux_sandbox.collection import pass_invoice
from flux_sandbox.ledger import Document
from flux_sandbox.renewals import pass_subscription
from flux_sandbox.schedules import pass_schedule

__all__ = ["settle"]


def settle(account: Account) -> None:
    """Let everything happen that is due by now."""
    while due := account.agenda.pop_due(account.clock.now()):
        moment, kind, id_ = due
        document = account.ledger.find(kind, id_)
        if document is not None and moment in moments(
            document
        ):  # otherwise it has changed since it was noted
            _PASS[kind](Action(account, moment), document)


_PASS: Final[dict[str, Callable[[Action, Document], object]]] = {
    "checkout.session": expire,
    "invoice": pass_invoice,
    "subscription": pass_subscription,
    "subscription_schedule": pass_schedule,
}
