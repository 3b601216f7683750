"""What an attempt to send usage means for its row in the outbox. Pure; the rules are stripe.md 3.3.

The question behind each rule is "may Stripe have counted this?". It deduplicates by identifier for a day at least,
so within that time sending again is safe; afterwards a row that may have been counted must never be sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flux_server.stripe.errors import (
    AbsentError,
    CallError,
    KeyRefusedError,
    RefusedError,
    TemporaryError,
)

__all__ = ["RESEND_WITHIN", "Outcome", "Verdict", "judge"]

RESEND_WITHIN = 23 * 3600
"""Seconds after an unanswered attempt within which the same identifier can be sent again."""

_DUPLICATE = "already exists with identifier"


class Verdict(StrEnum):
    """What becomes of the row."""

    SENT = "sent"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"  # may have been counted, may not: to be compared with Stripe's sums, never resent
    DEAD = "dead"  # refused for good; kept with the reason
    KEY = "key"  # the key does not suffice: nothing can be sent until it is replaced


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of the row, and whether this attempt may have been counted though nothing says so."""

    verdict: Verdict
    unanswered: bool = False
    error: str | None = None
    retry_after: float = 0


def judge(error: CallError | None, *, unanswered_before: bool) -> Outcome:
    """Judge an attempt by what came of it; `unanswered_before`: an earlier one may have been counted."""
    if error is None:
        return Outcome(Verdict.SENT)
    words = str(error)
    if isinstance(error, TemporaryError):
        return Outcome(Verdict.RETRY, unanswered=error.arrived, error=words, retry_after=error.retry_after)
    if isinstance(error, KeyRefusedError):
        return Outcome(Verdict.KEY, error=words)
    if isinstance(error, RefusedError) and error.status == 400 and _DUPLICATE in words:
        return Outcome(Verdict.SENT)
    if isinstance(error, RefusedError | AbsentError):
        # Stripe does not document the text above, so another refusal is doubtful once an attempt had no answer.
        return Outcome(Verdict.AMBIGUOUS if unanswered_before else Verdict.DEAD, error=words)
    # The answer could not be read: it may be a success.
    return Outcome(Verdict.RETRY, unanswered=True, error=words)
