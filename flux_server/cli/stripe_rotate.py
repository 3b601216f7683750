"""`flux stripe rotate`: the server's secret key is another one, where its database is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from flux_server.app import open_database
from flux_server.cli.local import DataDir, read_settings, run
from flux_server.cli.running import CommandError, say
from flux_server.settings import Settings
from flux_server.stripe.resealing import reseal
from flux_server.stripe.secrets import SealedError, SecretBox

__all__ = ["commands"]

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_OLD = "FLUX_SECRET_KEY_OLD"


@commands.command()
def rotate(
    old_key_file: Annotated[
        Path | None, typer.Option("--old-key-file", help=f"File of the key until now; {_OLD} otherwise.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Encrypt everything secret with the present FLUX_SECRET_KEY that was encrypted with another; all or nothing.

    Stop the server first, and start it with the present key afterwards.
    """
    run(lambda: _rotate(read_settings(data_dir=data_dir), old_key_file))


async def _rotate(settings: Settings, old_key_file: Path | None) -> None:
    old, new = _old_key(old_key_file), settings.secret_key.get_secret_value()
    if old == new:
        raise CommandError(
            f"the old key and the present one are the same; give {_OLD} what it was, and FLUX_SECRET_KEY what it is"
        )
    async with open_database(settings, time.time) as database:
        try:
            async with database.write() as connection:
                count = await reseal(connection, SecretBox(old), SecretBox(new))
        except SealedError as error:
            raise CommandError(f"nothing was changed: neither key opens everything ({error})") from error
    say(
        f"Encrypted {count:,} {'value' if count == 1 else 'values'} anew. The old key opens nothing any more."
    )


def _old_key(file: Path | None) -> str:
    if file is None:
        key = os.environ.get(_OLD, "")
    else:
        try:
            key = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{str(file)!r} cannot be read ({error})") from error
    if not key:
        raise CommandError(f"give the key until now: --old-key-file FILE, or {_OLD}")
    return key
