"""The parts of a running sandbox, for those who look at it from outside of Stripe's API."""

from __future__ import annotations

from dataclasses import dataclass

from flux_sandbox.account import Account
from flux_sandbox.api import Api
from flux_sandbox.deliveries import Deliveries
from flux_sandbox.ledger import Document
from flux_sandbox.thin_events import add_thin_events

__all__ = ["Sandbox"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The account, the API to it, and its webhooks on their way."""

    account: Account
    api: Api
    deliveries: Deliveries

    def publish(self, event: Document) -> None:
        """Tell those who want it of a snapshot event, and of the thin ones that belong to it."""
        self.deliveries.send(event)
        for thin in add_thin_events(self.account, event):
            self.deliveries.send(thin)
