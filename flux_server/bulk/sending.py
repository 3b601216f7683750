"""Sending a whole file to a server, chunk by chunk, with the row numbers of the file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from flux_server.bulk.files import MEDIA_TYPES, Format, read_rows
from flux_server.bulk.ndjson import write_ndjson
from flux_server.bulk.rows import MAX_ROWS, Duplicates, Refusal, Row

__all__ = ["Report", "Sender", "send_file"]

_MAX_BYTES = 3 * 1024 * 1024


class Sender(Protocol):
    """Whoever can send a chunk to a server (`remote.Remote`)."""

    def post(self, path: str, content: bytes, content_type: str, **params: str) -> dict[str, Any]:
        """Send the content and return what the server answers."""
        ...


@dataclass
class Report:
    """What became of the rows so far."""

    dry_run: bool = False
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    errors: list[Refusal] = field(default_factory=list)

    def summary(self) -> str:
        """Say it in a line."""
        would = "would be " if self.dry_run else ""
        counted = self.created, self.changed, self.unchanged, self.refused
        created, changed, unchanged, refused = (f"{number:,}" for number in counted)
        return f"{created} {would}created, {changed} {would}changed, {unchanged} unchanged, {refused} refused"

    def write_errors(self, file: Path) -> None:
        """Write why rows were refused as CSV."""
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("row", "field", "detail"))
            writer.writerows((error.row, error.field, error.detail) for error in self.errors)

    def refuse(self, *errors: Refusal) -> None:
        """Note that a row is refused."""
        self.refused += 1
        self.errors += errors


def send_file(
    sender: Sender, file: BinaryIO, format_: Format, report: Report, on_progress: Callable[[], None]
) -> None:
    """Send the file's rows, and add to the report what becomes of each chunk as it is answered."""
    for chunk in _chunks(_good_rows(file, format_, report)):
        content = b"".join(line for _, line in chunk)
        dry_run = "true" if report.dry_run else "false"
        answer = sender.post("/v1/import/organizations", content, MEDIA_TYPES["ndjson"], dry_run=dry_run)
        for name in ("created", "changed", "unchanged", "refused"):
            setattr(report, name, getattr(report, name) + answer[name])
        for error in answer["errors"]:
            row = chunk[error["row"] - 1][0].number
            report.errors.append(Refusal(row, error["field"], error["detail"]))
        on_progress()


def _good_rows(file: BinaryIO, format_: Format, report: Report) -> Iterator[Row]:
    seen = Duplicates()
    for row, wrong in read_rows(file, format_):
        wrong = wrong or (seen.errors(row) if row else ())
        if row is None or wrong:
            report.refuse(*wrong)
        else:
            yield row


def _chunks(rows: Iterator[Row]) -> Iterator[list[tuple[Row, bytes]]]:
    chunk: list[tuple[Row, bytes]] = []
    size = 0
    for row in rows:
        line = write_ndjson(row)
        if chunk and (len(chunk) == MAX_ROWS or size + len(line) > _MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((row, line))
        size += len(line)
    if chunk:
        yield chunk
