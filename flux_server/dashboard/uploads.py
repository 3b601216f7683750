"""A file that somebody sends: read in chunks, and carried from the dry run to the import in the form itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from flux_server.bulk.files import Format, read_rows
from flux_server.bulk.importing import Chunk, Imported
from flux_server.bulk.rows import MAX_ROWS, Duplicates, InvalidFileError, Refusal, Row

__all__ = ["MOST_BYTES", "MOST_ROWS", "Report", "chunks_of", "format_of", "packed", "unpacked"]

MOST_BYTES: Final = 2 * 1024 * 1024
MOST_ROWS: Final = 10_000
"""What is imported in one request; the command line takes files of any size."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Report:
    """What became of the rows, or would."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    errors: tuple[Refusal, ...] = ()

    @property
    def good(self) -> int:
        """Return how many rows do anything."""
        return self.created + self.changed

    def add(self, done: Imported) -> None:
        """Add what became of a chunk."""
        self.created += done.created
        self.changed += done.changed
        self.unchanged += done.unchanged
        self.refused += done.refused
        self.errors += done.errors


def format_of(data: bytes) -> Format:
    """Return which format a file is: NDJSON begins with an object, which the header of a CSV cannot."""
    return "ndjson" if data.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"{" else "csv"


def chunks_of(data: bytes) -> list[Chunk]:
    """Return the file's rows, as many at once as can be imported at once.

    Raises:
        InvalidFileError: it cannot be read, or is too large to be imported here.
    """
    if len(data) > MOST_BYTES:
        raise InvalidFileError(f"the file is larger than {MOST_BYTES // 1024**2} MiB; {_ELSEWHERE}")
    return list(_chunks(data))


def packed(data: bytes) -> str:
    """Return the file as text that a form's field carries unchanged."""
    return base64.urlsafe_b64encode(data).decode()


def unpacked(text: str) -> bytes:
    """Return the file that a field carries.

    Raises:
        InvalidFileError: the field carries none.
    """
    try:
        return base64.urlsafe_b64decode(text.encode())
    except (binascii.Error, ValueError):
        raise InvalidFileError("the file was lost on the way; choose it again") from None


_ELSEWHERE = "import it with `flux organizations import`, which takes files of any size"


def _chunks(data: bytes) -> Iterator[Chunk]:
    seen = Duplicates()
    rows: list[Row] = []
    errors: list[Refusal] = []
    refused = 0
    for number, (row, wrong) in enumerate(read_rows(BytesIO(data), format_of(data)), start=1):
        if number > MOST_ROWS:
            raise InvalidFileError(f"the file has more than {MOST_ROWS:,} rows; {_ELSEWHERE}")
        wrong = wrong or (seen.errors(row) if row else ())
        if row is None or wrong:
            refused += 1
            errors += wrong
        else:
            rows.append(row)
        if number % MAX_ROWS == 0:
            yield Chunk(tuple(rows), refused, tuple(errors))
            rows, errors, refused = [], [], 0
    yield Chunk(tuple(rows), refused, tuple(errors))
