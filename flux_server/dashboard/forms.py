"""What somebody typed into a form: kept as typed, read field by field, with what is wrong next to each."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError
from flux_middleware.snapshot import Feature, WireValue
from flux_server.catalog.errors import InvalidDocumentError, place
from flux_server.dashboard.durations import duration_words, parse_duration
from flux_server.errors import RequestError

__all__ = ["Clash", "Difference", "Form"]

_TRUE = frozenset({"yes", "true", "on"})
_FALSE = frozenset({"no", "false", "off"})
_TRUTHS = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that somebody else saved otherwise than it was typed here."""

    field: str
    theirs: str
    mine: str


@dataclass(frozen=True, slots=True)
class Clash:
    """Somebody else changed the same thing after the form was opened: who, when, and where the two differ."""

    actor: str
    at: int
    differences: tuple[Difference, ...]


class Form:
    """A form's fields and its errors. Reading a field notes what is wrong with it; `ok` says whether nothing was."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, text in fields:
            # PostgreSQL stores no NUL, and nobody types one.
            self._fields.setdefault(name, []).append(text.replace("\0", ""))
        self.errors: dict[str, str] = {}
        self.refusals: list[str] = []
        self.clash: Clash | None = None
        self.status = 422

    @classmethod
    def of(cls, fields: Mapping[str, str | Sequence[str] | None]) -> Form:
        """Return a form that is filled in: lists are fields that occur several times, None is left out."""
        pairs: list[tuple[str, str]] = []
        for name, value in fields.items():
            texts = [value] if isinstance(value, str) else value or []
            pairs += [(name, text) for text in texts]
        return cls(pairs)

    @property
    def ok(self) -> bool:
        """Say whether nothing was found wrong so far."""
        return not self.errors and not self.refusals and self.clash is None

    @property
    def names(self) -> list[str]:
        """Return the fields that there are."""
        return list(self._fields)

    def typed(self, name: str) -> str:
        """Return the field as it was typed, for showing it again."""
        return next(iter(self._fields.get(name, ())), "")

    def all_typed(self, name: str) -> list[str]:
        """Return every occurrence of the field as it was typed."""
        return self._fields.get(name, [])

    def fill(self, name: str, text: str) -> None:
        """Put something else into a field."""
        self._fields[name] = [text]

    def wrong(self, name: str, message: str) -> None:
        """Note what is wrong with a field."""
        self.errors.setdefault(name, message)

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Try something for the form; what a concept refuses becomes an error of the whole form."""
        try:
            yield
        except (RequestError, InvalidOrganizationError, InvalidRecordError) as error:
            self.refusals += _refusals(error)
            self.status = error.status if isinstance(error, RequestError) else 422

    def text(self, name: str, *, required: str = "", most: int = 255) -> str:
        """Return the field without spaces around it. If it is empty, `required` says what to do."""
        text = self.typed(name).strip()
        if required and not text:
            self.wrong(name, required)
        if len(text) > most:
            self.wrong(name, f"at most {most} characters; these are {len(text)}")
        return text

    def choice(self, name: str, choices: Container[str]) -> str:
        """Return which of the choices it is."""
        text = self.typed(name)
        if text not in choices:
            self.wrong(name, "choose one of these")
        return text

    def value(self, name: str, feature: Feature) -> WireValue | None:
        """Return a value for the feature, None if nothing is given: yes or no, a whole number or `unlimited`."""
        text = self.text(name).lower()
        if not text:
            return None
        if feature.kind == "boolean":
            if text not in _TRUTHS:
                self.wrong(name, f"for {feature.key}, say yes or no")
            return _TRUTHS.get(text)
        if text == "unlimited":
            return "unlimited"
        number = _whole_number(text)
        if number is None:
            self.wrong(name, f"for {feature.key}, give a whole number, or “unlimited”")
        return number

    def moment(self, name: str) -> int | None:
        """Return the moment (UTC) in epoch seconds; None if none is given."""
        text = self.text(name)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            self.wrong(name, "give a date and a time, like 2026-01-31 18:00")
            return None

    def duration(self, name: str, *, most: int, required: str = "") -> int | None:
        """Return how long (seconds) it is, like `14 days`; None if nothing is given."""
        text = self.text(name, required=required)
        if not text:
            return None
        seconds = parse_duration(text)
        if seconds is None:
            self.wrong(name, "give a time like 14 days, 36 hours, or 1 day 12 hours")
        elif seconds > most:
            self.wrong(name, f"at most {duration_words(most)}")
            return None
        return seconds


def _refusals(error: Exception) -> list[str]:
    """Return everything that an error says is wrong, as far as it lists that."""
    if isinstance(error, InvalidDocumentError):
        return [f"{place(wrong.at)}: {wrong.detail}" for wrong in error.wrong]
    listed = error.members.get("errors") if isinstance(error, RequestError) else None
    return [str(each) for each in listed] if isinstance(listed, list) else [str(error)]


def _whole_number(text: str) -> int | None:
    """Read 100000, 100 000, 100_000 and 100,000."""
    digits = text.replace(" ", "").replace("\u202f", "").replace("_", "")
    head, *groups = digits.split(",")
    if groups and (not 1 <= len(head.lstrip("-")) <= 3 or any(len(group) != 3 for group in groups)):
        return None
    digits = head + "".join(groups)
    unsigned = digits.removeprefix("-")
    if not (unsigned.isascii() and unsigned.isdigit()) or len(unsigned) > 20:
        return None
    return int(digits)
