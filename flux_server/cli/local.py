"""What commands have in common that work where the server's database is: their settings, and how they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flux_server.cli.running import refusals
from flux_server.errors import StartError
from flux_server.logs import configure_logs
from flux_server.settings import Settings, prepare

__all__ = ["DataDir", "read_settings", "run"]

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the SQLite file and the secret key.")
]


def run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the command; say what to do, and exit with 1, if it cannot be done."""
    with refusals():
        asyncio.run(command())


def read_settings(**options: Any) -> Settings:
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
