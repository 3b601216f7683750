"""What parameters a request may carry, said in tables: each route's `Shape` names its parameters and their kinds.

Parsing finds every problem of a request, in Stripe's words. A parsed value of None is one that the request clears
with an empty text; a parameter that the request does not carry has no entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol, TypeAlias

from flux_sandbox.errors import InvalidParametersError, Problem
from flux_sandbox.form import Raw

__all__ = [
    "LIST",
    "METADATA",
    "RANGE",
    "Clearable",
    "Either",
    "Fields",
    "Flag",
    "Kind",
    "ListOf",
    "Number",
    "Params",
    "Shape",
    "Text",
    "TextMap",
    "Unsimulated",
    "Whole",
    "parse",
    "shape",
]

Params: TypeAlias = dict[str, Any]

_MAX_SHOWN = 12


class Kind(Protocol):
    """One kind of value."""

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> Any:
        """Return the value, or note why there is none."""
        ...


Fields: TypeAlias = Mapping[str, Kind]
"""The kinds of parameters, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text, of a few words or of any."""

    choices: tuple[str, ...] = ()
    max_length: int = 5_000

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> str | None:
        text = _plain(raw, name, "string", problems)
        if text is None:
            return None
        if len(text) > self.max_length:
            message = f"Invalid string: {name} must be at most {self.max_length} characters"
            problems.append(Problem(name, "parameter_invalid_string_too_long", message))
        elif self.choices and text not in self.choices:
            problems.append(Problem(name, "parameter_invalid", _one_of(name, self.choices)))
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number, or one of a few words in its place."""

    minimum: int = 0
    maximum: int = 2**53
    words: tuple[str, ...] = ()

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> int | str | None:
        text = _plain(raw, name, "integer", problems)
        if text is None or text in self.words:
            return text
        if not re.fullmatch(r"-?[0-9]{1,16}", text):
            problems.append(Problem(name, "parameter_invalid_integer", f"Invalid integer: {text}"))
            return None
        if not self.minimum <= int(text) <= self.maximum:
            message = f"Invalid integer: {name} must be between {self.minimum} and {self.maximum}"
            problems.append(Problem(name, "parameter_invalid_integer", message))
        return int(text)


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number, not below zero, kept as a text."""

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> str | None:
        text = _plain(raw, name, "decimal", problems)
        if text is not None and not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,12})?", text):
            problems.append(Problem(name, "parameter_invalid", f"Invalid decimal: {text}"))
            return None
        return None if text is None else str(Decimal(text))


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> bool | None:
        text = _plain(raw, name, "boolean", problems)
        if text not in (None, "true", "false"):
            problems.append(Problem(name, "parameter_invalid", f"Invalid boolean: {text}"))
        return None if text is None else text == "true"


@dataclass(frozen=True, slots=True)
class ListOf:
    """Several values, numbered from 0 on or written with `[]`."""

    kind: Kind
    max_items: int = 100

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> list[Any] | None:
        if isinstance(raw, str) or not all(key.isdecimal() for key in raw):
            problems.append(Problem(name, "parameter_invalid", f"Invalid array: {name}"))
            return None
        if len(raw) > self.max_items:
            message = f"{name} takes at most {self.max_items} elements"
            problems.append(Problem(name, "parameter_invalid", message))
        numbered = sorted(raw.items(), key=lambda entry: int(entry[0]))
        return [self.kind.parse(value, f"{name}[{key}]", problems) for key, value in numbered]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMap:
    """Texts by names of the caller's choice; an empty text removes a name where that has a meaning."""

    max_names: int = 50
    max_name_length: int = 40
    max_length: int = 500
    removable: bool = True

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> dict[str, str] | None:
        if isinstance(raw, str):
            problems.append(Problem(name, "parameter_invalid", f"Invalid object: {name}"))
            return None
        if len(raw) > self.max_names:
            message = f"{name} can have up to {self.max_names} keys"
            problems.append(Problem(name, "parameter_invalid", message))
        return {key: self._value(key, value, f"{name}[{key}]", problems) for key, value in raw.items()}

    def _value(self, key: str, value: Raw, name: str, problems: list[Problem]) -> str:
        if not isinstance(value, str):
            problems.append(Problem(name, "parameter_invalid", f"{name} must be a string"))
            return ""
        if len(key) > self.max_name_length or len(value) > self.max_length:
            message = (
                f"{name}: a name has at most {self.max_name_length} characters, a value {self.max_length}"
            )
            problems.append(Problem(name, "parameter_invalid_string_too_long", message))
        if not value and not self.removable:
            problems.append(_empty(name))
        return value


@dataclass(frozen=True, slots=True)
class Shape:
    """Named parameters, some of them required."""

    fields: Fields
    required: tuple[str, ...] = ()

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> Params | None:
        if isinstance(raw, str):
            problems.append(Problem(name, "parameter_invalid", f"Invalid object: {name}"))
            return None
        parsed: Params = {}
        for key, value in raw.items():
            full = f"{name}[{key}]" if name else key
            kind = self.fields.get(key)
            if kind is None:
                problems.append(Problem(full, "parameter_unknown", f"Received unknown parameter: {full}"))
            else:
                parsed[key] = kind.parse(value, full, problems)
        for key in self.required:
            full = f"{name}[{key}]" if name else key
            if key not in raw:
                problems.append(Problem(full, "parameter_missing", f"Missing required param: {full}."))
        return parsed


@dataclass(frozen=True, slots=True)
class Clearable:
    """A value that an empty text clears."""

    kind: Kind

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> Any:
        return None if raw == "" else self.kind.parse(raw, name, problems)


@dataclass(frozen=True, slots=True)
class Either:
    """One value, or an object in its place."""

    plain: Kind
    nested: Kind

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> Any:
        return (self.plain if isinstance(raw, str) else self.nested).parse(raw, name, problems)


@dataclass(frozen=True, slots=True)
class Unsimulated:
    """A parameter of Stripe's whose effect is missing here: refused, so that nobody relies on it."""

    def parse(self, raw: Raw, name: str, problems: list[Problem]) -> None:  # noqa: ARG002  # whatever it is
        message = f"flux-sandbox does not simulate {name}; send the request without it."
        problems.append(Problem(name, "sandbox_not_simulated", message))


METADATA: Final = Clearable(TextMap())
RANGE: Final = Either(Whole(), Shape({"gt": Whole(), "gte": Whole(), "lt": Whole(), "lte": Whole()}))

_EXPAND: Final[Fields] = {"expand": ListOf(Text())}
LIST: Final[Fields] = {
    "limit": Whole(minimum=1, maximum=100),
    "starting_after": Text(),
    "ending_before": Text(),
}
"""What every list takes."""


def shape(fields: Fields | None = None, *required: str) -> Shape:
    """Make a route's shape: its own parameters, and `expand`, which every route takes."""
    return Shape({**(fields or {}), **_EXPAND}, required)


def parse(wanted: Shape, raw: Raw) -> Params:
    """Parse a request's parameters, or refuse them with all their problems."""
    problems: list[Problem] = []
    parsed = wanted.parse(raw, "", problems)
    if problems or parsed is None:
        raise InvalidParametersError(problems)
    return parsed


def _plain(raw: Raw, name: str, wanted: str, problems: list[Problem]) -> str | None:
    if not isinstance(raw, str):
        problems.append(Problem(name, "parameter_invalid", f"Invalid {wanted}: {name}"))
        return None
    if not raw:
        problems.append(_empty(name))
        return None
    return raw


def _empty(name: str) -> Problem:
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{name}' cannot be unset."
    )
    return Problem(name, "parameter_invalid_empty", message)


def _one_of(name: str, choices: tuple[str, ...]) -> str:
    some = ", ".join(choices) if len(choices) <= _MAX_SHOWN else f"{', '.join(choices[:_MAX_SHOWN])}, …"
    return f"Invalid {name}: must be one of {some}"
