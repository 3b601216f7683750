"""Why an organization is entitled to something, in words: one line for each thing that was considered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from flux_middleware.entitlements import Entitlement, Reason, ReasonKind, Verdict
from flux_server.dashboard.rendering import in_words

__all__ = ["STATUS_WORDS", "Line", "lines_of"]

STATUS_WORDS: Final = {
    "active": "paid",
    "trialing": "in its trial",
    "past_due": "a payment failed and is tried again; access goes on for the grace",
    "unpaid": "payment failed for good",
    "incomplete": "the first payment has not been made",
    "incomplete_expired": "the first payment was never made",
    "paused": "paused",
    "canceled": "canceled",
}
"""What a subscription's status means."""

# What follows "does not count: …"; those in `_DATED` are followed by a moment.
_VERDICTS: Final = {
    Verdict.OUTDONE: "what else there is decides, by the rule for several plans",
    Verdict.ABSORBED: "something else is unlimited already",
    Verdict.SUPERSEDED: "an override is in its place",
    Verdict.DENIED: "an override denies it",
    Verdict.STATUS: "that status gives nothing",
    Verdict.TRIAL_ENDED: "its trial is over since",
    Verdict.PERIOD_ENDED: "what was paid for is over since",
    Verdict.GRACE_ENDED: "the grace after the failed payment is over since",
    Verdict.CANCELED: "it ended",
    Verdict.COLLECTION_PAUSED: "nothing is collected for it now",
    Verdict.NO_QUANTITY: "its quantity is 0",
    Verdict.METERED: "another item of the subscription gives the same plan",
    Verdict.UNKNOWN_PLAN: "no plan is sold by its price",
    Verdict.BASE_PLAN: "a base plan takes its place",
    Verdict.UPCOMING: "it begins",
    Verdict.EXPIRED: "it ended",
    Verdict.UNKNOWN_EFFECT: "this version of Flux does not know its effect",
}
_DATED: Final = frozenset(
    {
        Verdict.TRIAL_ENDED,
        Verdict.PERIOD_ENDED,
        Verdict.GRACE_ENDED,
        Verdict.CANCELED,
        Verdict.EXPIRED,
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was considered: what it is, what it gives, and if it does not count, why not and since when."""

    what: str
    gives: str
    counts: bool
    until: float | None = None
    why_not: str = ""
    moment: float | None = None
    note: str = ""
    price: str = ""


def lines_of(entitlement: Entitlement) -> list[Line]:
    """Return a line for each reason, those that count first."""
    lines = [_line(reason) for reason in entitlement.reasons]
    return sorted(lines, key=lambda line: not line.counts)


def _line(reason: Reason) -> Line:
    counts = reason.verdict is Verdict.COUNTED
    moment = reason.since if reason.verdict is Verdict.UPCOMING else reason.until
    dated = reason.verdict in _DATED or reason.verdict is Verdict.UPCOMING
    return Line(
        what=_what(reason),
        gives=_gives(reason),
        counts=counts,
        until=reason.until if counts and reason.until != math.inf else None,
        why_not="" if counts else _VERDICTS[reason.verdict],
        moment=moment if dated and abs(moment) != math.inf else None,
        note=reason.note,
        price=reason.price,
    )


def _what(reason: Reason) -> str:
    if reason.kind is ReasonKind.OVERRIDE:
        return f"Override by {reason.author}" if reason.author else "Override"
    if reason.kind is ReasonKind.DEFAULT_PLAN:
        return f"Default plan, {_version(reason.plan_version)}"
    return f"Subscription {reason.subscription} ({reason.status}), {_version(reason.plan_version)}"


def _gives(reason: Reason) -> str:
    value = in_words(reason.value)
    if reason.kind is not ReasonKind.OVERRIDE:
        return "grants it" if reason.value is True else f"gives {value}"
    return {"set": f"sets it to {value}", "add": f"adds {value}", "deny": "denies it"}.get(
        reason.effect, reason.effect
    )


def _version(plan_version: str) -> str:
    plan, _, version = plan_version.rpartition("@")
    return f"plan {plan}, version {version}" if plan else "no plan"
