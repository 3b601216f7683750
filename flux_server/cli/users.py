"""`flux users`: who signs in to the dashboard."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from flux_server.accounts.invitations import Invitation, invite
from flux_server.accounts.users import normalize_email
from flux_server.app import open_database
from flux_server.cli.local import DataDir, read_settings, run
from flux_server.cli.running import say
from flux_server.settings import Settings

__all__ = ["commands", "link"]

commands = typer.Typer(help="People who sign in to the dashboard.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """Keep `invite` the name of a command, though it is the only one."""


@commands.command("invite")
def invite_user(
    email: Annotated[
        str, typer.Argument(help="Whose link it is: a colleague, or somebody who lost a password.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Print a one-time link by which somebody chooses a password; the server may be running."""
    run(lambda: _invite(read_settings(data_dir=data_dir), email))


def link(settings: Settings, invitation: Invitation, token: str) -> str:
    """Return the invitation's link, and until when it works."""
    until = datetime.fromtimestamp(invitation.expires_at, UTC)
    return f"{settings.url}/setup/{token} (works once, until {until:%Y-%m-%d %H:%M} UTC)"


async def _invite(settings: Settings, email: str) -> None:
    async with open_database(settings, time.time) as database, database.write() as connection:
        made = await invite(connection, normalize_email(email), time.time())
    say(link(settings, *made))
