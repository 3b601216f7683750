"""The history in words: each change of a subject as the fields that it changed, as people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from flux_middleware.snapshot import StatusPolicy
from flux_server.dashboard.durations import duration_words
from flux_server.dashboard.policy_forms import DEFAULTS
from flux_server.dashboard.rendering import in_words, moment
from flux_server.database import SYSTEM
from flux_server.environments.field_changes import FieldChange, Scalar, field_changes
from flux_server.environments.history import Entry, Kind

__all__ = ["KIND_WORDS", "ChangedField", "Event", "events_of"]

KIND_WORDS: Final[dict[Kind, str]] = {
    "customers": "Customers in Stripe",
    "feature": "Feature",
    "metric": "Metric",
    "organization": "Organization",
    "plan": "Plan",
    "record": "Subscriptions and overrides",
    "settings": "Settings",
}
"""What each kind of subject is called."""

_MOMENTS: Final = re.compile(
    r"(since|until|created_at|archived_at|published_at|started_at|ended_at|cancel_at|resumes_at|trial_end"
    r"|past_due_since|period_start|period_end)\Z"
)
_DURATIONS: Final = frozenset({"grace", "leeway"})
_IN_THE_PATH: Final = ("].feature", "].version")
_STEP = re.compile(r"([^.\[\]]+)(?:\[([^\]]*)\])?")
_POLICY: Final = StatusPolicy()
# What the environment's policy leaves out of its JSON is not nothing.
_LEFT_OUT: Final[dict[str, Scalar]] = {
    "policy.grace": _POLICY.grace,
    "policy.leeway": _POLICY.leeway,
    "policy.pause_collection": _POLICY.pause_collection,
    **{f"policy.statuses.{status}": effect for status, effect in DEFAULTS.items()},
}


@dataclass(frozen=True, slots=True)
class ChangedField:
    """A field and what it was and is, in words; empty where there was or is nothing."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Event:
    """One change: when, by whom, of what, what happened to it, and which fields that changed."""

    id: int
    at: int
    actor: str
    kind: Kind
    subject: str
    action: str
    fields: list[ChangedField]


def events_of(entries: Iterable[Entry]) -> list[Event]:
    """Return the changes as they are shown."""
    return [
        Event(
            entry.id,
            entry.at,
            "Flux itself" if entry.actor == SYSTEM else entry.actor,
            entry.kind,
            entry.subject,
            _action(entry),
            _fields(entry),
        )
        for entry in entries
    ]


def _action(entry: Entry) -> str:
    if entry.after is None:
        return "removed"
    # Of what an organization is entitled by there is a first state, but nobody makes it.
    return "made" if entry.before is None and entry.kind not in ("record", "customers") else "changed"


def _fields(entry: Entry) -> list[ChangedField]:
    changes = [change for change in field_changes(entry.before, entry.after) if _tells(change)]
    overridden = _overridden(entry) if entry.kind == "record" else {}
    return [_field(change, entry.kind, overridden) for change in changes]


def _overridden(entry: Entry) -> dict[str, str]:
    """Return the feature of each override, by the override's id."""
    states = [json.loads(state) for state in (entry.before, entry.after) if state]
    return {each["id"]: each["feature"] for state in states for each in state.get("overrides", ())}


def _tells(change: FieldChange) -> bool:
    """Say whether it is more than what its path says, or than that something empty came or went."""
    if change.path == "key" or change.path.endswith(_IN_THE_PATH):
        return False
    given = [each for each in (change.before, change.after) if each is not None]
    return len(given) == 2 or any(each != "" and each is not False for each in given)


def _field(change: FieldChange, kind: Kind, overridden: Mapping[str, str]) -> ChangedField:
    last = change.path.rpartition(".")[2]
    left_out = _LEFT_OUT.get(change.path) if kind == "settings" else None
    before, after = (left_out if each is None else each for each in (change.before, change.after))
    return ChangedField(_words(change.path, overridden), _value(last, before), _value(last, after))


def _value(name: str, value: Scalar) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, bool) and isinstance(value, int | float):
        if _MOMENTS.match(name):
            return moment(value)
        if name in _DURATIONS:
            return duration_words(int(value))
    return in_words(value)


def _words(path: str, overridden: Mapping[str, str]) -> str:
    """Say `subscriptions[sub_1].items[si_1].quantity` as `subscription sub_1, item si_1, quantity`."""
    steps = []
    for name, which in _STEP.findall(path):
        words = name.replace("_", " ")
        if name == "overrides" and which in overridden:
            which = f"of {overridden[which]}"
        steps.append(f"{_SINGULAR.get(words, words)} {which}" if which else words)
    return ", ".join(steps)


_SINGULAR: Final = {
    "customers": "customer",
    "grants": "grant of",
    "draft": "draft of",
    "items": "item",
    "overrides": "override",
    "prices": "price",
    "subscriptions": "subscription",
    "versions": "version",
}
