"""What commands have in common that ask a server, from wherever they run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from flux_middleware.errors import FluxError
from flux_server.moments import parse_past_moment
from flux_server.remote import Remote

__all__ = [
    "AsJson",
    "At",
    "Organization",
    "Url",
    "asking",
    "complain",
    "past_moment",
    "print_json",
    "print_reasons",
    "print_text",
    "printable",
    "written_moment",
]

Url = Annotated[str, typer.Option("--url", envvar="FLUX_URL", help="Address of the server.")]
At = Annotated[
    str | None,
    typer.Option(
        "--at", help="As of when: 2027-01-31, 2027-01-31T12:00:00Z, seconds since 1970, -2h, yesterday."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")]
Organization = Annotated[str, typer.Argument(help="The organization's id.")]


@contextmanager
def asking(url: str) -> Iterator[Remote]:
    """Say what to do, and exit with 1, if the block's work cannot be done."""
    try:
        with Remote(url) as remote:
            yield remote
    except (FluxError, OSError) as error:
        complain(f"flux: {error}")
        raise typer.Exit(1) from error


def past_moment(at: str | None) -> int | None:
    """Return the moment that was given; None if none was."""
    return None if at is None else parse_past_moment(at, time.time())


def written_moment(moment: int) -> str:
    """Return the moment (epoch seconds) as people read it."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_reasons(reasons: list[dict[str, Any]]) -> None:
    """Print the chain of why: what counts, and what does not."""
    for reason in reasons:
        mark, style = ("+", "") if reason["counted"] else ("-", "dim")
        print_text(Text(f"  {mark} {reason['sentence']}", style=style))


def print_text(text: Text) -> None:
    """Print it, without anything that could steer the terminal."""
    text.plain = printable(text.plain)
    Console(highlight=False, emoji=False).print(text, soft_wrap=True)


def printable(text: str) -> str:
    """Names come from outside: none may steer the terminal."""
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)


def print_json(answer: dict[str, Any]) -> None:
    """Print the answer on one line."""
    typer.echo(json.dumps(answer, ensure_ascii=False))


def complain(line: str) -> None:
    """Print the line where errors go."""
    typer.echo(line, err=True)
