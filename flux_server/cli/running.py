"""What commands have in common: their output, and ending with a clear line for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from flux_middleware.errors import FluxError
from flux_server.errors import RequestError, StartError

__all__ = ["CommandError", "refusals", "say"]


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


def say(line: str) -> None:
    """Print a line at once: whoever started this may be waiting for it."""
    print(line, flush=True)  # noqa: T201  the command's own output
