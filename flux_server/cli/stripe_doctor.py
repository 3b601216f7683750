"""`flux stripe replay`: looking after the link to Stripe, by way of a server."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from flux_server.cli.asking import AsJson, Url, asking, print_json, print_text
from flux_server.remote import DEFAULT_URL

__all__ = ["replay"]


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
