"""An override as a form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast

from flux_middleware.snapshot import Feature, WireValue
from flux_server.dashboard.forms import Form

__all__ = ["EFFECTS", "OverrideDraft", "read_override"]

EFFECTS: Final = {
    "set": ("Set it", "Replaces what plans give."),
    "add": ("Add to it", "On top of what plans give; a negative number takes away."),
    "deny": ("Deny it", "Wins over everything."),
}
"""What an override can do, in words."""

_LONGEST_REASON = 2_000


@dataclass(frozen=True, slots=True)
class OverrideDraft:
    """An exception as somebody wants it."""

    feature: str
    effect: Literal["set", "add", "deny"]
    value: WireValue | None
    until: int | None
    reason: str


def read_override(form: Form, features: Iterable[Feature]) -> OverrideDraft:
    """Return the override that the form asks for; what is wrong with it is noted in the form."""
    known = {feature.key: feature for feature in features}
    feature = known.get(form.choice("feature", known))
    effect = form.choice("effect", EFFECTS)
    value = form.value("value", feature) if feature else None
    if effect != "deny" and not form.typed("value").strip():
        form.wrong("value", "give a value: yes or no, a whole number, or “unlimited”")
    return OverrideDraft(
        feature=feature.key if feature else "",
        effect=cast("Literal['set', 'add', 'deny']", effect),
        value=value,
        until=form.moment("until"),
        reason=form.text("reason", required="say why, for whoever wonders later", most=_LONGEST_REASON),
    )
