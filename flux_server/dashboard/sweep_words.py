"""Sweeps in words: why one was made, and what it found to differ."""

from __future__ import annotations

from typing import Final

from flux_server.dashboard.rendering import moment
from flux_server.stripe.sweep_log import Difference

__all__ = ["REASON_WORDS", "REPAIR_WORDS", "STATUS_WORDS", "said"]

REASON_WORDS: Final = {
    "linked": "the link was made or changed",
    "nightly": "as every night",
    "asked": "somebody asked for it",
    "resumed": "the link had been paused",
    "many-dirty": "many subscriptions had changed at once",
    "lost-events": "Stripe said that it lost events",
}
STATUS_WORDS: Final = {"running": ("under way", ""), "done": ("done", "good"), "failed": ("failed", "bad")}
REPAIR_WORDS: Final = {
    "added": "added: Flux did not know it",
    "ended": "ended: Stripe knows it no more",
    "saved": "saved as Stripe says",
}

_MOMENTS: Final = (
    "started_at",
    "trial_end",
    "cancel_at",
    "ended_at",
    "period_start",
    "period_end",
    "resumes_at",
)


def said(difference: Difference) -> tuple[str, str, str]:
    """Return the field, what it was and what it is, as people read them; empty for what was or is not there."""
    is_moment = difference.field.endswith(_MOMENTS)
    before, after = (_value(value, is_moment) for value in (difference.before, difference.after))
    of, dot, name = difference.field.rpartition(".")  # an item's id stays as it is
    return of + dot + name.replace("_", " "), before, after


def _value(value: str | int | bool | None, is_moment: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return moment(value) if is_moment else f"{value:,}"
    return value
