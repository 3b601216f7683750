"""`flux serve`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from flux_server.accounts.invitations import invite_first_admin
from flux_server.app import create_app, open_database
from flux_server.cli.local import DataDir, read_settings, run
from flux_server.cli.running import say
from flux_server.cli.users import link
from flux_server.serving import Server, bind
from flux_server.settings import Settings
from flux_server.stripe.real_time import require_real_time

__all__ = ["commands"]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@commands.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the server: the API, the dashboard and the jobs, until it is told to stop."""
    run(lambda: _serve(read_settings(host=host, port=port, data_dir=data_dir)))


async def _serve(settings: Settings) -> None:
    with bind(settings.host, settings.port) as listener:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        async with open_database(settings, time.time) as database, database.write() as connection:
            await require_real_time(connection, settings)
            first = await invite_first_admin(connection, time.time())
        say(f"Flux is at {settings.url}")
        if first is not None:
            say(f"First admin: {link(settings, *first)}")
        say("API keys: flux keys create --environment test --scope sdk --name NAME")
        await Server(create_app(settings)).serve(sockets=[listener])
