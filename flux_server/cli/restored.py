"""`flux restored`."""

from __future__ import annotations

import time

import typer

from flux_server.app import open_database
from flux_server.cli.local import DataDir, read_settings, run
from flux_server.cli.running import say
from flux_server.environments.environments import list_environments, renew_instance
from flux_server.settings import Settings
from flux_server.stripe.link import read_link
from flux_server.stripe.sweeps import start_sweep

__all__ = ["commands"]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@commands.command()
def restored(data_dir: DataDir = None) -> None:
    """Say that the database was restored from a backup, before the server runs on it: everybody reads it anew."""
    run(lambda: _restored(read_settings(data_dir=data_dir)))


async def _restored(settings: Settings) -> None:
    async with open_database(settings, time.time) as database, database.write() as connection:
        for environment in await list_environments(connection):
            await renew_instance(connection, environment.key)
            if await read_link(connection, environment.key) is not None:
                await start_sweep(connection, environment.key, "asked", time.time())
    say("Hosts will start afresh when they reconnect, and every subscription will be read from Stripe again.")
