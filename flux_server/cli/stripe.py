"""`flux stripe`: the link to Stripe of a server's environment."""

from __future__ import annotations

import typer

from flux_server.cli.stripe_doctor import replay

__all__ = ["commands"]

commands = typer.Typer(
    help="The link to Stripe of a server: FLUX_URL, FLUX_API_KEY of the environment.", no_args_is_help=True
)
commands.command("replay")(replay)


@commands.callback()
def group() -> None:
    """Keep each command's name, though it may be the only one."""
