"""The one account, and the actions by which it changes: each change leaves an event."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flux_sandbox import API_VERSION
from flux_sandbox.agenda import Agenda
from flux_sandbox.clock import Clock
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.meter_errors import MeterErrors
from flux_sandbox.meter_log import MeterLog
from flux_sandbox.payments import Payments
from flux_sandbox.profile import Profile
from flux_sandbox.receivers import wanted_by
from flux_sandbox.rendering import difference, render

__all__ = ["Account", "Action", "Origin"]


@dataclass(slots=True)
class Account:
    """All there is: objects, recorded usage, what is due when, and who hears of events."""

    clock: Clock
    profile: Profile = field(default_factory=Profile)
    token: Callable[[int], str] = secrets.token_hex
    ledger: Ledger = field(default_factory=Ledger)
    agenda: Agenda = field(default_factory=Agenda)
    meter_log: MeterLog = field(default_factory=MeterLog)
    meter_errors: MeterErrors = field(default_factory=MeterErrors)
    payments: Payments = field(default_factory=Payments)
    address: str = ""
    """Where the sandbox was last asked: its pages are there."""
    silent: bool = False
    """Whether changes leave no events, as happens at Stripe when its generation of events fails."""
    on_event: Callable[[Document], None] = lambda event: None
    on_subscription: Callable[[Action, Document], None] = lambda action, subscription: None
    """Told of each change of a subscription, after its event."""

    def new_id(self, prefix: str) -> str:
        """Make an id such as Stripe's."""
        return f"{prefix}_{self.token(12)}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that an event comes from; of what time does by itself there is none."""

    request: str | None = None
    idempotency_key: str | None = None
    version: str = API_VERSION
    shows_secrets: bool = True
    """Whether what it makes may be answered with the secret that belongs to it."""


@dataclass(frozen=True, slots=True)
class Action:
    """What one request, or the passing of time, does to the account at one moment.

    Nothing waits between its first look and its last change, so actions never overlap; but a change is not undone:
    an action that refuses must do so before its first.
    """

    account: Account
    now: int
    origin: Origin = Origin()

    @property
    def ledger(self) -> Ledger:
        """The account's objects."""
        return self.account.ledger

    def create(self, document: Document, event: str) -> Document:
        """Add an object."""
        self._put(document)
        self.record(event, render(self.ledger, document))
        self._follow(document)
        return document

    def add(self, document: Document) -> Document:
        """Add an object of whose beginning Stripe tells nothing."""
        self._put(document)
        return document

    def update(self, document: Document, changes: Mapping[str, Any], event: str) -> Document:
        """Change an object; what is no change makes no event."""
        if all(document.get(name) == value for name, value in changes.items()):
            return document
        updated = {**document, **changes}
        if "updated" in document:
            updated["updated"] = self.now
        before = render(self.ledger, document)
        self._put(updated)
        after = render(self.ledger, updated)
        self.record(event, after, previous=difference(before, after))
        self._follow(updated)
        return updated

    def turn(self, document: Document, changes: Mapping[str, Any], event: str) -> Document:
        """Change an object at a turn of its life, such as its end: the event tells that, not what differs."""
        turned = {**document, **changes}
        self._put(turned)
        self.record(event, render(self.ledger, turned))
        self._follow(turned)
        return turned

    def delete(self, document: Document, event: str) -> Document:
        """Remove an object."""
        last = render(self.ledger, document)
        grave = self.ledger.bury(document["object"], document["id"])
        self.record(event, last)
        return grave

    def record(self, event: str, shown: Document, *, previous: Mapping[str, Any] | None = None) -> Document:
        """Add an event that shows an object as it is now."""
        data = {"object": shown} if previous is None else {"object": shown, "previous_attributes": previous}
        document = {
            "id": self.account.new_id("evt"),
            "object": "event",
            "api_version": self.account.profile.api_version,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.origin.request, "idempotency_key": self.origin.idempotency_key},
            "type": event,
        }
        document["pending_webhooks"] = len(wanted_by(self.ledger, document))
        if not self.account.silent:
            self.ledger.put(document)
            self.account.on_event(document)
        return document

    def _follow(self, document: Document) -> None:
        if document["object"] == "subscription":
            self.account.on_subscription(self, document)

    def _put(self, document: Document) -> None:
        self.ledger.put(document)
        self.account.agenda.note(document, self.now)
