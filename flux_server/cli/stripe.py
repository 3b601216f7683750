"""`flux stripe`: the link to Stripe of a server's environment."""

from __future__ import annotations

import typer

from flux_server.cli.stripe_doctor import doctor, replay
from flux_server.cli.stripe_link import link, secrets, status, unlink
from flux_server.cli.stripe_rotate import rotate
from flux_server.cli.stripe_sync import sync

__all__ = ["commands"]

commands = typer.Typer(
    help="The link to Stripe of a server: FLUX_URL, FLUX_API_KEY of the environment.", no_args_is_help=True
)
commands.command("link")(link)
commands.command("status")(status)
commands.command("unlink")(unlink)
commands.add_typer(secrets, name="secrets")
commands.command("rotate")(rotate)
commands.command("doctor")(doctor)
commands.command("replay")(replay)
commands.command("sync")(sync)


@commands.callback()
def group() -> None:
    """Keep each command's name, though it may be the only one."""
