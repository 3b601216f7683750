"""Why an organization is entitled to something, in words: one line for each thing that was considered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from flux_middleware.entitlements import Entitlement, Reason, ReasonKind, Verdict
from flux_middleware.wording import why_not
from flux_server.dashboard.rendering import in_words

__all__ = ["STATUS_WORDS", "Line", "lines_of"]

STATUS_WORDS: Final = {
    "active": "paid",
    "trialing": "in its trial",
    "past_due": "a payment failed and is tried again",
    "unpaid": "payment failed for good",
    "incomplete": "the first payment has not been made",
    "incomplete_expired": "the first payment was never made",
    "paused": "paused",
    "canceled": "canceled",
}
"""What a subscription's status means."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was considered: what it is, and what it gives, until when; or why it does not count."""

    what: str
    gives: str
    until: float | None
    why_not: str
    note: str

    @property
    def counts(self) -> bool:
        """Say whether it is part of the value."""
        return not self.why_not


def lines_of(entitlement: Entitlement) -> list[Line]:
    """Return a line for each reason, in the order in which they count."""
    return [_line(reason) for reason in entitlement.reasons]


def _line(reason: Reason) -> Line:
    return Line(
        what=_what(reason),
        gives=_gives(reason),
        until=None if math.isinf(reason.until) else reason.until,
        why_not="" if reason.verdict is Verdict.COUNTED else why_not(reason),
        note=reason.note,
    )


def _what(reason: Reason) -> str:
    if reason.kind is ReasonKind.OVERRIDE:
        return f"Override by {reason.author}" if reason.author else "Override"
    if reason.kind is ReasonKind.DEFAULT_PLAN:
        return f"Default plan, {_version(reason.plan_version)}"
    status = reason.unknown_status or reason.status
    return f"Subscription {reason.subscription} ({status}), {_version(reason.plan_version)}"


def _gives(reason: Reason) -> str:
    value = in_words(reason.value)
    if reason.kind is ReasonKind.OVERRIDE:
        words = {"set": f"sets it to {value}", "add": f"adds {value}", "deny": "denies it"}
        return words.get(reason.effect, reason.effect)
    return "grants it" if reason.value is True else f"gives {value}"


def _version(plan_version: str) -> str:
    plan, _, version = plan_version.rpartition("@")
    return f"plan {plan}, version {version}" if plan else "no plan"
