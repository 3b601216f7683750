"""Organizations as CSV, for people with a spreadsheet: a column a feature that is overridden. Pure.

A cell of an `override.FEATURE` column says what a support person would: `50`, `unlimited until 2027-01-31`,
`add 10 (pilot)`, `deny`; several overrides stand on lines of their own. Ids and authors of overrides are left out.

A spreadsheet takes a cell that begins with `=` or the like for a formula; such cells are written with an
apostrophe in front, which reading takes off again.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Final

from flux_middleware.errors import InvalidRecordError
from flux_middleware.snapshot import Override, WireValue, require_key
from flux_server.bulk.rows import InvalidFileError, Refusal, Row
from flux_server.errors import RequestError
from flux_server.moments import moment_text, parse_moment

__all__ = ["header", "override_cell", "read_csv", "read_override_cell", "write_csv"]

_COLUMNS: Final = ("id", "name", "stripe_customers")
_OVERRIDE: Final = "override."
_FORMULA: Final = frozenset("=+-@\t\r")


def header(features: Iterable[str]) -> list[str]:
    """Return the columns of a file in which these features are overridden."""
    return [*_COLUMNS, *(f"{_OVERRIDE}{feature}" for feature in features)]


def write_csv(row: Row, columns: Iterable[str]) -> list[str]:
    """Return the row's cells."""
    overrides: dict[str, list[str]] = {}
    for override in row.overrides:
        overrides.setdefault(f"{_OVERRIDE}{override.feature}", []).append(override_cell(override))
    cells = {column: "\n".join(lines) for column, lines in overrides.items()}
    cells |= {
        "id": _guard(row.id),
        "name": _guard(row.name),
        "stripe_customers": " ".join(row.stripe_customers),
    }
    return [cells.get(column, "") for column in columns]


def read_csv(lines: Iterable[str]) -> Iterator[Row | Refusal]:
    """Read the header and then a row from each record; empty ones are skipped, and counted.

    Raises:
        InvalidFileError: the header is wrong, or quotes do not match, so that nothing can be made of the rest.
    """
    records = _records(lines)
    columns = _columns(next(records, [""]))
    for number, cells in enumerate(records, start=2):
        if any(cells):
            yield _row(number, columns, cells)


def _records(lines: Iterable[str]) -> Iterator[list[str]]:
    number = 1
    try:
        for record in csv.reader(lines, strict=True):
            yield record
            number += 1
    except csv.Error as error:
        raise InvalidFileError(
            f"row {number} cannot be read as CSV ({error}); put cells that hold quotes, commas or line breaks into "
            'quotes, and double the quotes in them: "5"" pipe"'
        ) from error


def _columns(cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    known = "the columns are id, name, stripe_customers and override.FEATURE, separated by commas"
    if "id" not in columns:
        raise InvalidFileError(f"the first row must name the columns, and there is none called id; {known}")
    for column in columns:
        if columns.count(column) > 1:
            raise InvalidFileError(f"there are two columns called {column!r:.100}; leave one of them out")
        if column not in _COLUMNS and not _is_override(column):
            raise InvalidFileError(f"there is no column {column!r:.100}; {known}")
    return columns


def _is_override(column: str) -> bool:
    try:
        require_key(column.removeprefix(_OVERRIDE))
    except InvalidRecordError:
        return False
    return column.startswith(_OVERRIDE)


def _row(number: int, columns: list[str], cells: list[str]) -> Row | Refusal:
    if any(cells[len(columns) :]):
        return Refusal(number, "", f"there are {len(cells)} cells, but {len(columns)} columns; quote commas")
    values = dict(zip(columns, cells, strict=False))
    overrides: list[Override] = []
    for column in columns:
        if column.startswith(_OVERRIDE):
            try:
                overrides += read_override_cell(column.removeprefix(_OVERRIDE), values.get(column, ""))
            except RequestError as error:
                return Refusal(number, column, error.detail)
    return Row(
        number,
        _unguard(values.get("id", "")),
        _unguard(values.get("name", "")),
        tuple(dict.fromkeys(values.get("stripe_customers", "").split())),
        tuple(overrides),
    )


def override_cell(override: Override) -> str:
    """Return the override in the words of a cell."""
    words = [] if override.effect == "set" else [override.effect]
    if override.effect != "deny":
        words.append(str(override.value).lower())
    if override.since is not None:
        words += ["from", moment_text(override.since)]
    if override.until is not None:
        words += ["until", moment_text(override.until)]
    if override.enforcement:
        words.append(override.enforcement)
    reason = " ".join(override.reason.split())
    return " ".join([*words, f"({reason})"] if reason else words)


_ENTRY = re.compile(
    r"(?:(?P<effect>set|add)\s+)?(?P<what>[^\s(]+)(?:\s+from\s+(?P<since>[^\s(]+))?(?:\s+until\s+(?P<until>[^\s(]+))?"
    r"(?:\s+(?P<enforcement>hard|soft))?(?:\s*\((?P<reason>.*)\))?",
    re.IGNORECASE,
)
_WORDS: Final[dict[str, WireValue]] = {
    "true": True,
    "yes": True,
    "false": False,
    "no": False,
    "unlimited": "unlimited",
}


def read_override_cell(feature: str, cell: str) -> list[Override]:
    """Return the overrides of the feature that the cell's lines are.

    Raises:
        InvalidFileError: a line is none.
        InvalidMomentError: a line names no moment where it should.
    """
    return [_entry(feature, line.strip()) for line in cell.splitlines() if line.strip()]


def _entry(feature: str, line: str) -> Override:
    found = _ENTRY.fullmatch(line)
    what = found["what"].lower() if found else ""
    deny = what == "deny"
    number = re.fullmatch(r"-?\d{1,16}", what, re.ASCII)
    if found is None or not (number or what in _WORDS or (deny and not found["effect"])):
        raise InvalidFileError(
            f"{line!r:.100} is no override; write one like: 50, true, unlimited, deny, add 10, 50 until 2027-01-31, "
            "50 from 2027-01-01 until 2028-01-01 (what for)"
        )
    return Override(
        id="",
        feature=feature,
        effect="deny" if deny else (found["effect"] or "set").lower(),
        value=None if deny else _WORDS[what] if what in _WORDS else int(what),
        since=parse_moment(found["since"]) if found["since"] else None,
        until=parse_moment(found["until"]) if found["until"] else None,
        enforcement=(found["enforcement"] or "").lower(),
        reason=" ".join((found["reason"] or "").split()),
    )


def _guard(cell: str) -> str:
    return f"'{cell}" if cell[:1] in _FORMULA or _is_guarded(cell) else cell


def _unguard(cell: str) -> str:
    return cell[1:] if _is_guarded(cell) else cell


def _is_guarded(cell: str) -> bool:
    return cell[:1] == "'" and cell[1:2] in _FORMULA | {"'"}
