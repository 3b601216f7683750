"""What applying a catalog document changes, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flux_server.catalog.document_changes import Change, FieldChange
from flux_server.dashboard.durations import duration_words
from flux_server.dashboard.history_words import ChangedField
from flux_server.dashboard.rendering import in_words

__all__ = ["ToldChange", "told_changes"]

_TITLES: Final = {"default_plan": "Default plan", "policy": "Status policy"}
_ACTIONS: Final = {
    "add": ("new", "good"),
    "archive": ("archived", "bad"),
    "change": ("changed", "warn"),
    "publish": ("published", "warn"),
    "restore": ("restored", "good"),
}
_DURATIONS: Final = frozenset({"grace", "leeway"})


@dataclass(frozen=True, slots=True)
class ToldChange:
    """One thing that is done: to what, what (and how it is marked), with what effect, and field by field."""

    title: str
    key: str
    action: str
    mark: str
    notes: tuple[str, ...]
    fields: tuple[ChangedField, ...]


def told_changes(changes: tuple[Change, ...]) -> list[ToldChange]:
    """Return the changes as they are shown."""
    return [_told(change) for change in changes]


def _told(change: Change) -> ToldChange:
    action, mark = _ACTIONS[change.action]
    if change.version is not None:
        action = f"version {change.version} is published"
    title = _TITLES.get(change.of) or change.of.capitalize()
    return ToldChange(
        title, change.key, action, mark, tuple(_notes(change)), tuple(map(_field, change.fields))
    )


def _notes(change: Change) -> Iterator[str]:
    if change.organizations is not None:
        one = change.organizations == 1
        yield f"{change.organizations:,} {'organization subscribes' if one else 'organizations subscribe'} to it."
    if change.is_default:
        yield "Organizations without a base plan have it at once."
    if change.replaces_draft:
        yield "Its draft there is lost."


def _field(change: FieldChange) -> ChangedField:
    first, *keys = change.at
    name = ", ".join([first.replace("_", " "), *keys])
    last = change.at[-1]
    return ChangedField(name, _value(last, change.before), _value(last, change.after))


def _value(name: str, value: Any) -> str:
    plain = msgspec.to_builtins(value)
    if plain is None or plain == "":
        return ""
    if isinstance(plain, str):
        return plain
    if isinstance(plain, Mapping):
        told = {key: each for key, each in plain.items() if key != "price"}  # which its place names already
        return ", ".join(f"{key.replace('_', ' ')} {_value(key, each)}" for key, each in told.items())
    if isinstance(plain, int) and not isinstance(plain, bool) and name in _DURATIONS:
        return duration_words(plain)
    return in_words(plain)
