"""When objects change by themselves: subscriptions, their invoices and schedules, checkout sessions."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from flux_sandbox.ledger import Document

__all__ = ["FIRST_PAYMENT", "SCHEDULE_WARNING", "TRIAL_WARNING", "Agenda", "moments"]

FIRST_PAYMENT: Final = 23 * 3_600
"""So long an invoice waits that must be paid before what it is for begins."""
SCHEDULE_WARNING: Final = 7 * 86_400
"""So long before the end of its last phase a schedule is said to expire."""
TRIAL_WARNING: Final = 3 * 86_400
"""So long before its end a trial is said to end."""


def moments(document: Document) -> list[int]:
    """Return when the document changes by itself, as things stand."""
    return [moment for moment in _DUE[document["object"]](document) if moment is not None]


class Agenda:
    """Objects by the moments when they are due; whether they still are then, `moments` tells.

    At one moment a schedule comes before its subscription, which it may change, and that before its invoices; of a
    kind the older come first.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, str]] = []
        self._known: set[tuple[int, int, int, str]] = set()
        self._ages: dict[str, int] = {}

    def note(self, document: Document, now: int) -> None:
        """Remember when this state of an object is due, after now."""
        if document["object"] not in _DUE:
            return
        order = _ORDER.index(document["object"])
        age = self._ages.setdefault(document["id"], len(self._ages))
        for moment in moments(document):
            entry = moment, order, age, document["id"]
            if moment > now and entry not in self._known:
                self._known.add(entry)
                heapq.heappush(self._heap, entry)

    def pop_due(self, now: int) -> tuple[int, str, str] | None:
        """Take out the earliest entry that is due: its moment, the object's kind and id."""
        if not self._heap or self._heap[0][0] > now:
            return None
        entry = heapq.heappop(self._heap)
        self._known.discard(entry)
        moment, order, _, id_ = entry
        return moment, _ORDER[order], id_


def _subscription(subscription: Document) -> list[int | None]:
    if subscription["ended_at"] is not None:
        return []
    due: list[int | None] = [subscription["cancel_at"]]
    status = subscription["status"]
    if status == "incomplete":
        return [*due, subscription["created"] + FIRST_PAYMENT]
    if status != "paused":
        due += [item["current_period_end"] for item in subscription["items"]]
    if status == "trialing" and subscription["trial_end"] is not None:
        due += [subscription["trial_end"], subscription["trial_end"] - TRIAL_WARNING]
    pending, pause = subscription["pending_update"], subscription["pause_collection"]
    return [*due, pending and pending["expires_at"], pause and pause["resumes_at"]]


def _invoice(invoice: Document) -> list[int | None]:
    if invoice["status"] == "draft":
        return [invoice["automatically_finalizes_at"]]
    if invoice["status"] != "open":
        return []
    waits = None if invoice["auto_advance"] else invoice["created"] + FIRST_PAYMENT
    return [invoice["next_payment_attempt"], invoice["due_date"], waits]


def _schedule(schedule: Document) -> list[int | None]:
    if schedule["status"] == "not_started":
        return [schedule["phases"][0]["start_date"]]
    current = schedule["current_phase"]
    if schedule["status"] != "active" or current is None:
        return []
    return [current["end_date"], schedule["phases"][-1]["end_date"] - SCHEDULE_WARNING]


def _session(session: Document) -> list[int | None]:
    return [session["expires_at"]] if session["status"] == "open" else []


_DUE: Final[dict[str, Callable[[Document], list[int | None]]]] = {
    "subscription_schedule": _schedule,
    "subscription": _subscription,
    "invoice": _invoice,
    "checkout.session": _session,
}
_ORDER: Final = tuple(_DUE)
