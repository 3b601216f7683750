"""Files of organizations in either format, read as a stream of rows. Pure."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final, Literal

from flux_server.bulk.csv_files import read_csv
from flux_server.bulk.ndjson import read_ndjson
from flux_server.bulk.rows import InvalidFileError, Refusal, Row, row_errors

__all__ = ["MEDIA_TYPES", "Format", "read_rows"]

Format = Literal["csv", "ndjson"]

MEDIA_TYPES: Final[dict[Format, str]] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}

_READERS: Final[dict[Format, Callable[[Iterable[str]], Iterator[Row | Refusal]]]] = {
    "csv": read_csv,
    "ndjson": read_ndjson,
}


def read_rows(file: BinaryIO, format_: Format) -> Iterator[tuple[Row | None, tuple[Refusal, ...]]]:
    """Read the file (UTF-8, with or without a byte order mark) row by row, each with what is wrong with it.

    Raises:
        InvalidFileError: the rest cannot be read.
    """
    # Without newline translation: a quoted line break of a cell is part of it.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if format_ == "csv" else "\n")
    try:
        for found in _READERS[format_](text):
            if isinstance(found, Refusal):
                yield None, (found,)
            else:
                yield found, row_errors(found)
    except UnicodeDecodeError as error:
        raise InvalidFileError(
            "the file is not UTF-8; save it as “CSV UTF-8”, or convert it: iconv -t UTF-8"
        ) from error
    finally:
        text.detach()  # the file is its opener's to close
