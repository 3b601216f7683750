"""The `flux` command: one module for each group of its commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from flux_server.cli.keys import keys
from flux_server.cli.plans import plans
from flux_server.cli.restored import restored
from flux_server.cli.serve import serve
from flux_server.cli.users import users

__all__ = ["app"]

app = typer.Typer(
    name="flux",
    help="Flux: what organizations are entitled to, and what they use. Every option is also a FLUX_… variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(restored)
app.add_typer(plans, name="plans")
app.add_typer(keys, name="keys")
app.add_typer(users, name="users")


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Hold what all commands share."""
    if show_version:
        typer.echo(version("flux-middleware"))
        raise typer.Exit
