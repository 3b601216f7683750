"""What commands have in common: settings, running, and ending with one clear line where something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flux_middleware.errors import FluxError
from flux_server.errors import RequestError, StartError
from flux_server.logs import configure_logs
from flux_server.settings import Settings, prepare

__all__ = ["CommandError", "DataDir", "read_settings", "refusals", "run", "say"]

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the SQLite file and the secret key.")
]


class CommandError(FluxError):
    """The command cannot be done; each of the `lines` says something that is wrong, and what to do."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@contextmanager
def refusals() -> Iterator[None]:
    """Say what to do, and exit with 1, if what the block does is refused."""
    try:
        yield
    except (StartError, RequestError, CommandError) as error:
        for line in error.lines if isinstance(error, CommandError) else (str(error),):
            typer.echo(f"flux: {line}", err=True)
        raise typer.Exit(1) from error


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


def say(line: str) -> None:
    """Print a line at once: whoever started this may be waiting for it."""
    print(line, flush=True)  # noqa: T201  the command's own output
