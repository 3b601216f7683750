"""The parts of a running sandbox, for those who look at it from outside of Stripe's API."""

from __future__ import annotations

from dataclasses import dataclass

from flux_sandbox.account import Account
from flux_sandbox.api import Api
from flux_sandbox.deliveries import Deliveries
from flux_sandbox.ledger import Document
from flux_sandbox.meter_errors import report
from flux_sandbox.thin_events import add_thin_event, add_thin_events

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

    def publish_thin(self, type_: str, about: Document | None, data: Document | None = None) -> Document:
        """Tell of a thin event that belongs to no snapshot."""
        event = add_thin_event(self.account, type_, about, data=data)
        self.deliveries.send(event)
        return event

    def report_meter_errors(self, *, samples: int) -> list[Document]:
        """Report the meter events that were found wrong: once for each meter, and for all that have none."""
        return [
            self.publish_thin(
                "v1.billing.meter.no_meter_found"
                if meter is None
                else "v1.billing.meter.error_report_triggered",
                None if meter is None else {"object": "billing.meter", "id": meter},
                report(errors, samples=samples),
            )
            for meter, errors in self.account.meter_errors.take().items()
        ]
