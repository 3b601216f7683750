"""`flux why`: whether an organization is entitled to a feature, and why, asked of a server."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from flux_server.cli.asking import (
    AsJson,
    At,
    Organization,
    Url,
    asking,
    past_moment,
    print_json,
    print_reasons,
    print_text,
    written_moment,
)
from flux_server.remote import DEFAULT_URL, organization_path

__all__ = ["commands"]

NOT_ENTITLED = 3

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@commands.command()
def why(
    organization: Organization,
    feature: Annotated[str, typer.Argument(help="The feature's key.")],
    at: At = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Say whether an organization is entitled to a feature, and why: exit code 0 if it is, 3 if not."""
    with asking(url) as remote:
        path = f"{organization_path(organization)}/entitlements/{feature}"
        answer = remote.get(path, at=past_moment(at))
    if as_json:
        print_json(answer)
    else:
        print_text(Text(answer["summary"], style="bold green" if answer["entitled"] else "bold red"))
        print_text(Text(f"as of {written_moment(answer['as_of'])}", style="dim"))
        print_reasons(answer["reasons"])
    if not answer["entitled"]:
        raise typer.Exit(NOT_ENTITLED)
