"""The `flux` command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flux_server.accounts.invitations import Invitation, invite, invite_first_admin
from flux_server.accounts.users import normalize_email
from flux_server.app import create_app, open_database
from flux_server.cli_organizations import organizations, why
from flux_server.environments.api_keys import create_api_key
from flux_server.environments.environments import list_environments, renew_instance
from flux_server.errors import RequestError, StartError
from flux_server.logs import configure_logs
from flux_server.serving import Server, bind
from flux_server.settings import Settings, prepare
from flux_server.stripe.dirty import ALL_SUBSCRIPTIONS, mark
from flux_server.stripe.link import read_link

__all__ = ["app"]

app = typer.Typer(
    name="flux",
    help="Flux: what organizations are entitled to, and what they use. Every option is also a FLUX_… variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys of applications and scripts.", no_args_is_help=True)
app.add_typer(keys, name="keys")
users = typer.Typer(help="People who sign in to the dashboard.", no_args_is_help=True)
app.add_typer(users, name="users")
app.add_typer(organizations, name="organizations")
app.command()(why)

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the SQLite file and the secret key.")
]


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Hold what all commands share."""
    if show_version:
        typer.echo(version("flux-middleware"))
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the server: the API, the dashboard and the jobs, until it is told to stop."""
    _run(lambda: _serve(_settings(host=host, port=port, data_dir=data_dir)))


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What it is for; the dashboard shows it.")],
    environment: Annotated[str, typer.Option(help="The environment it belongs to: test or live.")] = "test",
    scope: Annotated[str, typer.Option(help="What it may do: sdk, read or admin.")] = "sdk",
    data_dir: DataDir = None,
) -> None:
    """Make an API key and print it, this once; the server may be running."""
    _run(lambda: _create_key(_settings(data_dir=data_dir), environment, scope, name))


@users.command("invite")
def invite_user(
    email: Annotated[
        str, typer.Argument(help="Whose link it is: a colleague, or somebody who lost a password.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Print a one-time link by which somebody chooses a password; the server may be running."""
    _run(lambda: _invite(_settings(data_dir=data_dir), email))


@app.command()
def restored(data_dir: DataDir = None) -> None:
    """Say that the database was restored from a backup, before the server runs on it: everybody reads it anew."""
    _run(lambda: _restored(_settings(data_dir=data_dir)))


def _run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the command; say what to do, and exit with 1, if it cannot be done."""
    try:
        asyncio.run(command())
    except (StartError, RequestError) as error:
        typer.echo(f"flux: {error}", err=True)
        raise typer.Exit(1) from error


def _settings(**options: Any) -> Settings:
    """Return the settings from the options that were given and from the environment."""
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"FLUX_{str(found['loc'][0]).upper()}: {found['msg'].removeprefix('Value error, ')}"
            for found in error.errors(include_input=False)
        )
        raise StartError(f"the configuration is wrong: {wrong}") from None
    configure_logs(settings)
    return prepare(settings)


async def _serve(settings: Settings) -> None:
    with bind(settings.host, settings.port) as listener:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        async with open_database(settings, time.time) as database, database.write() as connection:
            first = await invite_first_admin(connection, time.time())
        _say(f"Flux is at {settings.url}")
        if first is not None:
            _say(f"First admin: {_link(settings, *first)}")
        _say("API keys: flux keys create --environment test --scope sdk --name NAME")
        await Server(create_app(settings)).serve(sockets=[listener])


async def _create_key(settings: Settings, environment: str, scope: str, name: str) -> None:
    async with open_database(settings, time.time) as database, database.write() as connection:
        _, secret = await create_api_key(connection, environment, name=name, scope=scope, now=time.time())
    _say(secret)


async def _invite(settings: Settings, email: str) -> None:
    async with open_database(settings, time.time) as database, database.write() as connection:
        made = await invite(connection, normalize_email(email), time.time())
    _say(_link(settings, *made))


async def _restored(settings: Settings) -> None:
    async with open_database(settings, time.time) as database, database.write() as connection:
        for environment in await list_environments(connection):
            await renew_instance(connection, environment.key)
            if await read_link(connection, environment.key) is not None:
                await mark(connection, environment.key, [ALL_SUBSCRIPTIONS], time.time())
    _say(
        "Hosts will start afresh when they reconnect, and every subscription will be read from Stripe again."
    )


def _link(settings: Settings, invitation: Invitation, token: str) -> str:
    until = datetime.fromtimestamp(invitation.expires_at, UTC)
    return f"{settings.url}/setup/{token} (works once, until {until:%Y-%m-%d %H:%M} UTC)"


def _say(line: str) -> None:
    """Print a line at once: whoever started this may be waiting for it."""
    print(line, flush=True)  # noqa: T201  the command's own output
