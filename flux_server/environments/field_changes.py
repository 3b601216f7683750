"""What a change changed, field by field, for people to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

__all__ = ["FieldChange", "Scalar", "field_changes"]

Scalar = bool | int | float | str | None

_UNTOLD: Final = frozenset({"type", "id", "revision"})  # of a subject itself: its place, not its state
_NAMES: Final = ("id", "key", "feature", "price", "version")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that was `before` and is `after`; None where it was not, or is not, there.

    The path names what is in a list by its id or key: `subscriptions[sub_1].items[si_1].quantity`.
    """

    path: str
    before: Scalar
    after: Scalar


def field_changes(before: str | None, after: str | None) -> tuple[FieldChange, ...]:
    """Return what differs between two states (JSON; None: there was no such subject), in the order of the fields."""
    old, new = _fields(before), _fields(after)
    return tuple(
        FieldChange(path, old.get(path), new.get(path))
        for path in dict.fromkeys([*old, *new])
        if old.get(path) != new.get(path) or type(old.get(path)) is not type(new.get(path))
    )


def _fields(state: str | None) -> dict[str, Scalar]:
    subject = None if state is None else msgspec.json.decode(state)
    if not isinstance(subject, dict):
        return {} if subject is None else dict(_leaves(subject, ""))
    return dict(_leaves({name: value for name, value in subject.items() if name not in _UNTOLD}, ""))


def _leaves(value: object, path: str) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for name, inner in zip(_names(value), value, strict=True):
            yield from _leaves(_without_id(inner), f"{path}[{name}]")
    elif value is None or isinstance(value, bool | int | float | str):
        yield path, value


def _names(elements: list[object]) -> list[str]:
    """Name each element by what it is, or, where that does not tell them apart, by its place."""
    names = [_name(element, place) for place, element in enumerate(elements)]
    return names if len(set(names)) == len(names) else [str(place) for place in range(len(names))]


def _without_id(element: object) -> object:
    """An id is in the path already; a key or a price is all that some elements have."""
    return {k: v for k, v in element.items() if k != "id"} if isinstance(element, dict) else element


def _name(element: object, place: int) -> str:
    if isinstance(element, dict):
        return next((str(element[name]) for name in _NAMES if name in element), str(place))
    return str(place) if isinstance(element, list) else str(element)
