"""`flux keys`: API keys, made where the server's database is."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from flux_server.app import open_database
from flux_server.cli.local import DataDir, read_settings, run
from flux_server.cli.running import say
from flux_server.environments.api_keys import create_api_key
from flux_server.settings import Settings

__all__ = ["commands"]

commands = typer.Typer(help="API keys of applications and scripts.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """Keep `create` the name of a command, though it is the only one."""


@commands.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What it is for; the dashboard shows it.")],
    environment: Annotated[str, typer.Option(help="The environment it belongs to: test or live.")] = "test",
    scope: Annotated[str, typer.Option(help="What it may do: sdk, read or admin.")] = "sdk",
    data_dir: DataDir = None,
) -> None:
    """Make an API key and print it, this once; the server may be running."""
    run(lambda: _create_key(read_settings(data_dir=data_dir), environment, scope, name))


async def _create_key(settings: Settings, environment: str, scope: str, name: str) -> None:
    async with open_database(settings, time.time) as database, database.write() as connection:
        _, secret = await create_api_key(connection, environment, name=name, scope=scope, now=time.time())
    say(secret)
