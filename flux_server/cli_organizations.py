"""`flux why` and `flux organizations`: commands that ask a server, from wherever they run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.text import Text

from flux_middleware.errors import FluxError
from flux_server.bulk.files import Format
from flux_server.bulk.sending import Report, send_file
from flux_server.cli_progress import progress_of
from flux_server.moments import parse_past_moment
from flux_server.remote import DEFAULT_URL, Remote, organization_path

__all__ = ["organizations", "why"]

NOT_ENTITLED = 3
_SHOWN_ERRORS = 20
_FORMATS: dict[str, Format] = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson"}

organizations = typer.Typer(help="Organizations of a server: FLUX_URL, FLUX_API_KEY.", no_args_is_help=True)

Url = Annotated[str, typer.Option("--url", envvar="FLUX_URL", help="Address of the server.")]
At = Annotated[
    str | None,
    typer.Option(
        "--at", help="As of when: 2027-01-31, 2027-01-31T12:00:00Z, seconds since 1970, -2h, yesterday."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="csv or ndjson; by the file's name if left out.")
]
Organization = Annotated[str, typer.Argument(help="The organization's id.")]


def why(
    organization: Organization,
    feature: Annotated[str, typer.Argument(help="The feature's key.")],
    at: At = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Say whether an organization is entitled to a feature, and why: exit code 0 if it is, 3 if not."""
    with _asking(url) as remote:
        path = f"{organization_path(organization)}/entitlements/{feature}"
        answer = remote.get(path, at=_moment(at))
    if as_json:
        _print_json(answer)
    else:
        _print(Text(answer["summary"], style="bold green" if answer["entitled"] else "bold red"))
        _print(Text(f"as of {_date(answer['as_of'])}", style="dim"))
        _print_reasons(answer["reasons"])
    if not answer["entitled"]:
        raise typer.Exit(NOT_ENTITLED)


@organizations.command("list")
def list_organizations(
    query: Annotated[
        str, typer.Argument(help="Part of an id or a name, or a Stripe customer's or subscription's id.")
    ] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List organizations: one a line, its id, a tab and its name."""
    with _asking(url) as remote:
        for page in _pages(remote, query):
            for found in page:
                if as_json:
                    _print_json(found)
                else:
                    typer.echo(_printable(f"{found['id']}\t{found['name']}"))


@organizations.command("show")
def show_organization(
    organization: Organization, at: At = None, as_json: AsJson = False, url: Url = DEFAULT_URL
) -> None:
    """Show everything that an organization is entitled to, and why."""
    with _asking(url) as remote:
        answer = remote.get(organization_path(organization), at=_moment(at))
    if as_json:
        _print_json(answer)
        return
    _print(Text(" ".join(filter(None, (answer["id"], answer["name"]))), style="bold"))
    _print(Text(f"as of {_date(answer['as_of'])}", style="dim"))
    for found in answer["entitlements"]:
        value = json.dumps(found["value"]).strip('"')
        _print(Text(f"{found['feature']}: {value}", style="green" if found["entitled"] else "red"))
        _print_reasons(found["reasons"])
    for used in answer["usage"]:
        _print(Text(f"used {used['quantity']} of {used['metric']} since {_date(used['period_start'])}"))


@organizations.command("import")
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
    with _asking(url) as remote:
        try:
            with _opened(file) as opened, progress_of(opened) as on_progress:
                send_file(remote, opened, _format(file, format_), report, on_progress)
        finally:
            _tell_errors(report, errors)
            _print(Text(report.summary()))
    if report.refused:
        raise typer.Exit(1)


def _tell_errors(report: Report, file: Path | None) -> None:
    report.errors.sort(key=lambda error: error.row)
    if file is not None:
        report.write_errors(file)
        return
    for error in report.errors[:_SHOWN_ERRORS]:
        _complain(_printable(f"row {error.row}, {error.field or 'as a whole'}: {error.detail}"))
    if len(report.errors) > _SHOWN_ERRORS:
        _complain(f"and {len(report.errors) - _SHOWN_ERRORS:,} more; --errors FILE takes all")


@organizations.command("export")
def export_organizations(
    file: Annotated[Path | None, typer.Argument(help="The file; standard output if left out.")] = None,
    format_: FormatOption = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write all organizations to a file that can be imported."""
    with _asking(url) as remote:
        chosen = _format(file, format_ or (None if file else "ndjson"))
        with remote.pieces("/v1/export/organizations", format=chosen) as pieces:
            if file is None:
                sys.stdout.buffer.writelines(pieces)
                sys.stdout.buffer.flush()
            else:
                _write(file, pieces)


@contextmanager
def _asking(url: str) -> Iterator[Remote]:
    """Say what to do, and exit with 1, if the block's work cannot be done."""
    try:
        with Remote(url) as remote:
            yield remote
    except (FluxError, OSError) as error:
        _complain(f"flux: {error}")
        raise typer.Exit(1) from error


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


def _moment(at: str | None) -> int | None:
    return None if at is None else parse_past_moment(at, time.time())


def _date(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _print_reasons(reasons: list[dict[str, Any]]) -> None:
    for reason in reasons:
        mark, style = ("+", "") if reason["counted"] else ("-", "dim")
        _print(Text(f"  {mark} {reason['sentence']}", style=style))


def _print(text: Text) -> None:
    text.plain = _printable(text.plain)
    Console(highlight=False, emoji=False).print(text, soft_wrap=True)


def _printable(text: str) -> str:
    """Names come from outside: none may steer the terminal."""
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)


def _print_json(answer: dict[str, Any]) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False))


def _complain(line: str) -> None:
    typer.echo(line, err=True)
