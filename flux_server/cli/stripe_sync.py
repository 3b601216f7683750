"""`flux stripe sync`: having every subscription read again, and seeing what was not as Flux believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.text import Text

from flux_server.cli.asking import AsJson, Url, asking, complain, print_json, print_text, written_moment
from flux_server.remote import DEFAULT_URL, Remote

__all__ = ["sync"]

_LOOK_AGAIN = 0.5
_PAGE = 500


def sync(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until everything was read, and print what had drifted.")
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Have every subscription read from Stripe again; with --wait, exit code 1 if that fails."""
    with asking(url) as remote:
        sweep = remote.post("/v1/stripe/sync", b"", "application/json")
        if wait:
            sweep = _finished(remote, sweep["id"])
            sweep["drift"] = list(_drift(remote, sweep["id"]))
    if as_json:
        print_json(sweep)
    else:
        _print(sweep)
    if sweep["status"] == "failed":
        raise typer.Exit(1)


def _finished(remote: Remote, sweep: str) -> dict[str, Any]:
    """Return the sweep once it is over; tell what holds it up, once."""
    told = ""
    with _progress() as show:
        while True:
            found = remote.get(f"/v1/stripe/sweeps/{sweep}", limit=1)
            if found["status"] != "running":
                return {name: found[name] for name in found if name not in ("drift", "next_cursor")}
            show(f"{found['seen']:,} subscriptions read, {found['drifted']:,} had drifted")
            if found["error"] and found["error"] != told:
                told = found["error"]
                complain(f"flux: it will be gone on with later: {told}")
            time.sleep(_LOOK_AGAIN)


class _Show(Protocol):
    def __call__(self, status: str) -> None: ...


@contextmanager
def _progress() -> Iterator[_Show]:
    """Show how far it is, on a terminal; nothing where nobody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda status: None
        return
    with console.status("waiting for a turn") as shown:
        yield lambda status: shown.update(status)


def _drift(remote: Remote, sweep: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = remote.get(f"/v1/stripe/sweeps/{sweep}", cursor=cursor, limit=_PAGE)
        yield from page["drift"]
        cursor = page["next_cursor"]


def _print(sweep: dict[str, Any]) -> None:
    if sweep["status"] == "running":
        print_text(Text(f"Sweep {sweep['id']} reads every subscription; --wait waits for its report."))
        return
    if sweep["error"]:
        complain(f"flux: the sweep failed: {sweep['error']}")
    for drift in sweep["drift"]:
        since = f", not read since {written_moment(drift['since'])}" if drift["since"] else ""
        owner = f" of {drift['organization']}" if drift["organization"] else ""
        print_text(Text(f"{drift['object_type']} {drift['object_id']}{owner}: {drift['repair']}{since}"))
        for each in drift["differences"]:
            print_text(Text(f"  {each['field']}: {_shown(each['before'])} → {_shown(each['after'])}"))
    print_text(Text(f"{sweep['seen']:,} subscriptions read, {sweep['drifted']:,} had drifted."))


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)
