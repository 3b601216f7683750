"""`flux stripe doctor` and `flux stripe replay`: looking after the link to Stripe, by way of a server."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.text import Text

from flux_server.cli.asking import AsJson, Url, asking, print_json, print_text
from flux_server.remote import DEFAULT_URL

__all__ = ["doctor", "replay"]

_MARKS: Final = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "bold red")}


def doctor(as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Ask Stripe what is there, and say what is wrong with the link and how to mend it: exit code 1 for a problem."""
    with asking(url) as remote:
        answer = remote.get("/v1/stripe/doctor")
    if as_json:
        print_json(answer)
    else:
        for found in answer["findings"]:
            _print_finding(found)
    if answer["level"] == "problem":
        raise typer.Exit(1)


def _print_finding(found: dict[str, Any]) -> None:
    word, style = _MARKS[found["level"]]
    line = Text(f"{word:8}", style=style)
    line.append(f"{found['title']}: {found['message']}", style="")
    print_text(line)
    if found["fix"]:
        print_text(Text(f"         {found['fix']}", style="dim"))


def replay(
    events: Annotated[list[str], typer.Argument(help="Ids of events: evt_…")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Have what the events are about read from Stripe again; however old they are, this does no harm."""
    with asking(url) as remote:
        for event in events:
            answer = remote.post(f"/v1/stripe/events/{quote(event, safe='')}/replay", b"", "application/json")
            if as_json:
                print_json({"event": event, **answer})
            else:
                objects = ", ".join(f"{each['type']} {each['id']}" for each in answer["marked"])
                print_text(Text(f"{event}: {objects or 'nothing to read, Flux does not follow this type'}"))
