"""Organizations as NDJSON: a JSON object a line. Loses nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from flux_middleware.snapshot import Override, WireValue
from flux_server.bulk.rows import Refusal, Row
from flux_server.moments import InvalidMomentError, parse_moment

__all__ = ["read_ndjson", "write_ndjson"]


class _Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    feature: str
    effect: str = "set"
    value: WireValue | None = None
    since: int | str | None = None
    until: int | str | None = None
    enforcement: str = ""
    author: str = ""
    reason: str = ""
    id: str = ""


class _Organization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    id: str
    name: str = ""
    stripe_customers: tuple[str, ...] = ()
    overrides: tuple[_Override, ...] = ()


def read_ndjson(lines: Iterable[str]) -> Iterator[Row | Refusal]:
    """Read a row from each line; empty lines are skipped, and counted."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(number, line)


def write_ndjson(row: Row) -> bytes:
    """Return the row as a line."""
    overrides = tuple(_Override(**msgspec.structs.asdict(override)) for override in row.overrides)
    return _encode(_Organization(row.id, row.name, row.stripe_customers, overrides)) + b"\n"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Organization).decode
_WHERE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)


def _row(number: int, line: str) -> Row | Refusal:
    try:
        found = _decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        where = _WHERE.fullmatch(str(error))
        detail, field = (where[1], where[2]) if where else (str(error), "")
        return Refusal(
            number, field[:100], f"{detail[:300]}; give a JSON object as docs/organizations.md says"
        )
    overrides = []
    for place, override in enumerate(found.overrides):
        try:
            overrides.append(_override(override))
        except InvalidMomentError as error:
            return Refusal(number, f"overrides[{place}]", error.detail)
    return Row(number, found.id, found.name, found.stripe_customers, tuple(overrides))


def _override(override: _Override) -> Override:
    fields = msgspec.structs.asdict(override)
    for name in ("since", "until"):
        fields[name] = None if fields[name] is None else parse_moment(str(fields[name]))
    return Override(**fields)
