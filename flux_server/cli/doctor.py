"""`flux doctor`, as one of the commands: without the server's packages, `flux_server.__main__` runs it."""

from __future__ import annotations

import typer

from flux_middleware.doctor import main

__all__ = ["commands"]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@commands.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def doctor(context: typer.Context) -> None:
    """Say what is wrong with Flux on an application's host, and what to do."""
    raise typer.Exit(main(context.args))
