"""`flux organizations`: listing, showing, importing and exporting the organizations of a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.text import Text

from flux_middleware.errors import FluxError
from flux_server.bulk.files import Format
from flux_server.bulk.sending import Report, send_file
from flux_server.cli.asking import (
    AsJson,
    At,
    Organization,
    Url,
    asking,
    complain,
    past_moment,
    print_json,
    print_reasons,
    print_text,
    printable,
    written_moment,
)
from flux_server.cli.progress import progress_of
from flux_server.remote import DEFAULT_URL, Remote, organization_path

__all__ = ["commands"]

_SHOWN_ERRORS = 20
_FORMATS: dict[str, Format] = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson"}

commands = typer.Typer(help="Organizations of a server: FLUX_URL, FLUX_API_KEY.", no_args_is_help=True)

FormatOption = Annotated[
    str | None, typer.Option("--format", help="csv or ndjson; by the file's name if left out.")
]


@commands.command("list")
def list_organizations(
    query: Annotated[
        str, typer.Argument(help="Part of an id or a name, or a Stripe customer's or subscription's id.")
    ] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List organizations: one a line, its id, a tab and its name."""
    with asking(url) as remote:
        for page in _pages(remote, query):
            for found in page:
                if as_json:
                    print_json(found)
                else:
                    typer.echo(printable(f"{found['id']}\t{found['name']}"))


@commands.command("show")
def show_organization(
    organization: Organization, at: At = None, as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Show everything that an organization is entitled to, and why."""
    with asking(url) as remote:
        answer = remote.get(organization_path(organization), at=past_moment(at))
    if as_json:
        print_json(answer)
        return
    print_text(Text(" ".join(filter(None, (answer["id"], answer["name"]))), style="bold"))
    print_text(Text(f"as of {written_moment(answer['as_of'])}", style="dim"))
    for found in answer["entitlements"]:
        value = json.dumps(found["value"]).strip('"')
        print_text(Text(f"{found['feature']}: {value}", style="green" if found["entitled"] else "red"))
        print_reasons(found["reasons"])
    for used in answer["usage"]:
        print_text(
            Text(f"used {used['quantity']} of {used['metric']} since {written_moment(used['period_start'])}")
        )


@commands.command("import")
def import_organizations(
    file: Annotated[Path, typer.Argument(help="The file; - reads standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    format_: FormatOption = None,
    errors: Annotated[
        Path | None, typer.Option("--errors", help="Write every refused row to this file, as CSV.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Make and change organizations by a file; exit code 1 if any row was refused. Can be run again at any time."""
    report = Report(dry_run=dry_run)
    with asking(url) as remote:
        try:
            with _opened(file) as opened, progress_of(opened) as on_progress:
                send_file(remote, opened, _format(file, format_), report, on_progress)
        finally:
            _tell_errors(report, errors)
            print_text(Text(report.summary()))
    if report.refused:
        raise typer.Exit(1)


def _tell_errors(report: Report, file: Path | None) -> None:
    report.errors.sort(key=lambda error: error.row)
    if file is not None:
        report.write_errors(file)
        return
    for error in report.errors[:_SHOWN_ERRORS]:
        complain(printable(f"row {error.row}, {error.field or 'as a whole'}: {error.detail}"))
    if len(report.errors) > _SHOWN_ERRORS:
        complain(f"and {len(report.errors) - _SHOWN_ERRORS:,} more; --errors FILE takes all")


@commands.command("export")
def export_organizations(
    file: Annotated[Path | None, typer.Argument(help="The file; standard output if left out.")] = None,
    format_: FormatOption = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write all organizations to a file that can be imported."""
    with asking(url) as remote:
        chosen = _format(file, format_ or (None if file else "ndjson"))
        with remote.pieces("/v1/export/organizations", format=chosen) as pieces:
            if file is None:
                sys.stdout.buffer.writelines(pieces)
                sys.stdout.buffer.flush()
            else:
                _write(file, pieces)


def _pages(remote: Remote, query: str) -> Iterator[list[dict[str, Any]]]:
    cursor: str | None = ""
    while cursor is not None:
        page = remote.get("/v1/organizations", query=query, cursor=cursor, limit=500)
        yield page["organizations"]
        cursor = page["next_cursor"]


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
    else:
        with file.open("rb") as opened:
            yield opened


def _write(file: Path, pieces: Iterator[bytes]) -> None:
    """Write the file; an export that is cut off must not look like a whole one."""
    unfinished = file.with_name(f"{file.name}.part")
    with unfinished.open("wb") as opened:
        opened.writelines(pieces)
    unfinished.replace(file)


def _format(file: Path | None, chosen: str | None) -> Format:
    named = chosen or (file.suffix.lower().removeprefix(".") if file else "")
    if named not in _FORMATS:
        raise FluxError(
            "give --format csv or --format ndjson, or a file whose name ends with .csv or .ndjson"
        )
    return _FORMATS[named]
