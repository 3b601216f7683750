"""The `flux` command: one module for each group of its commands.

A module is loaded when its command runs: to compare a file with a server takes a moment, to load a server takes longer.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

__all__ = ["app"]

COMMANDS: Final = (
    "serve",
    "restored",
    "plans",
    "organizations",
    "why",
    "stripe",
    "keys",
    "users",
    "codegen",
    "doctor",
)
"""Each is a module here whose `commands` it runs."""


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  as click calls it
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = get_command(import_module(f"{__name__}.{cmd_name}").commands)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="flux",
    cls=_Commands,
    help="Flux: what organizations are entitled to, and what they use. Every option is also a FLUX_… variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Hold what all commands share."""
    if show_version:
        typer.echo(version("flux-middleware"))
        raise typer.Exit
