"""`flux stripe`: the link to Stripe of a server's environment."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from flux_server.cli.stripe_doctor import doctor, replay
from flux_server.cli.stripe_link import link, secrets, status, unlink
from flux_server.cli.stripe_sync import sync

__all__ = ["commands"]


class _Group(TyperGroup):
    """Loads the command that works on the database when it runs: that takes longer than to ask a server."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), "rotate"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name != "rotate":
            return super().get_command(ctx, cmd_name)
        command = get_command(import_module("flux_server.cli.stripe_rotate").commands)
        command.name = cmd_name
        return command


commands = typer.Typer(
    cls=_Group,
    help="The link to Stripe of a server: FLUX_URL, FLUX_API_KEY of the environment.",
    no_args_is_help=True,
)
commands.command("link")(link)
commands.command("status")(status)
commands.command("unlink")(unlink)
commands.add_typer(secrets, name="secrets")
commands.command("doctor")(doctor)
commands.command("replay")(replay)
commands.command("sync")(sync)


@commands.callback()
def group() -> None:
    """Keep each command's name, though it may be the only one."""
