"""How values cross the network: frozen structs as JSON, under a schema number.

Unknown fields are ignored, so a newer server may add some. Where a field names a rule or a state (a merge, a
reset, a status), it is text, so a word that only newer servers know does not make the rest unreadable; what
such a word then means is part of the rules (docs/entitlements.md). A newer *major* schema is refused.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from flux_middleware.errors import InvalidRecordError, SchemaVersionError

__all__ = ["SCHEMA", "WireStruct", "decode", "encode", "require_schema"]

SCHEMA: Final = "1.1"
"""Schema of snapshot, stream and usage as `major.minor`."""

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


class WireStruct(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frozen value whose defaults are left out of its JSON."""


def encode(value: msgspec.Struct) -> bytes:
    """Return the value's JSON, on one line."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Parse JSON into `kind`.

    Raises:
        InvalidRecordError: the JSON is malformed or does not fit.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise InvalidRecordError(f"not a {getattr(kind, '__name__', kind)}: {error}") from error


def require_schema(offered: str) -> None:
    """Refuse a schema whose major version is newer than ours.

    Raises:
        SchemaVersionError: this library is too old for the server.
    """
    major, _, _ = offered.partition(".")
    if not major.isdigit() or int(major) > int(SCHEMA.partition(".")[0]):
        raise SchemaVersionError(offered, SCHEMA)
