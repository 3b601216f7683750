"""An override as a form, and an organization's overrides by whether their time has come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast

from flux_middleware.snapshot import Feature, Override, WireValue
from flux_server.dashboard.forms import Form

__all__ = ["EFFECTS", "ENFORCEMENTS", "OverrideDraft", "Overrides", "read_override", "sorted_overrides"]

EFFECTS: Final = {
    "set": ("Set it", "Replaces what plans give."),
    "add": ("Add to it", "On top of what plans give; a negative number takes away."),
    "deny": ("Deny it", "Wins over everything."),
}
"""What an override can do, in words."""

ENFORCEMENTS: Final = {"": "as usual", "hard": "it stops there", "soft": "more can be used, and is billed"}

_LONGEST_REASON = 2_000
_LONGEST = 100 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class OverrideDraft:
    """An exception as somebody wants it."""

    feature: str
    effect: Literal["set", "add", "deny"]
    value: WireValue | None
    since: int | None
    until: int | None
    enforcement: str
    reason: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """An organization's overrides: in force, yet to come, and over."""

    present: tuple[Override, ...]
    upcoming: tuple[Override, ...]
    over: tuple[Override, ...]


def read_override(form: Form, features: Iterable[Feature], now: float) -> OverrideDraft:
    """Return the override that the form asks for; what is wrong with it is noted in the form."""
    known = {feature.key: feature for feature in features}
    feature = known.get(form.choice("feature", known))
    effect = form.choice("effect", EFFECTS)
    value = form.value("value", feature) if feature else None
    if effect != "deny" and not form.typed("value").strip():
        form.wrong("value", "give a value: yes or no, a whole number, or “unlimited”")
    since = form.moment("since")
    return OverrideDraft(
        feature=feature.key if feature else "",
        effect=cast("Literal['set', 'add', 'deny']", effect),
        value=value,
        since=since,
        until=_until(form, int(now) if since is None else since),
        enforcement=form.typed("enforcement"),
        reason=form.text("reason", required="say why, for whoever wonders later", most=_LONGEST_REASON),
    )


def sorted_overrides(overrides: Iterable[Override], now: float) -> Overrides:
    """Return the overrides by whether their time has come."""
    over = tuple(each for each in overrides if each.until is not None and each.until <= now)
    upcoming = tuple(
        each for each in overrides if each.since is not None and each.since > now and each not in over
    )
    present = tuple(each for each in overrides if each not in over and each not in upcoming)
    return Overrides(present, upcoming, over)


def _until(form: Form, since: int) -> int | None:
    until, lasts = form.moment("until"), form.duration("lasts", most=_LONGEST)
    if lasts is None:
        return until
    if until is not None:
        form.wrong("lasts", "say for how long, or until when, not both")
    elif not lasts:
        form.wrong("lasts", "it would be over at once; leave it empty for an override without an end")
    return since + lasts
