"""A desk at which somebody runs `flux plans`: in a process of its own, that talks to a running server."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_reading import read_document
from flux_server.cli.catalog_text import document_text
from tests.flux_server.running import RunningServer

__all__ = ["COMMAND", "Desk", "live"]

COMMAND = (sys.executable, "-m", "flux_server", "plans")


@dataclass
class Desk:
    """A directory with a plans.toml, from which somebody runs `flux plans` with a key of an environment."""

    server: RunningServer
    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.directory / "plans.toml"

    def write(self, document: CatalogDocument) -> None:
        self.file.write_text(document_text(document))

    def surroundings(self, env: dict[str, str]) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}
        return own | {"COLUMNS": "200"} | self.env | env

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, with nobody at a terminal."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.surroundings(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def type(self, *arguments: str, answers: str = "", **env: str) -> tuple[int, str]:
        """Run the command at a terminal, type the answers, and return how it ended and what was shown."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.surroundings({"TERM": "xterm"} | env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, answers.encode())
        shown = b"".join(_pieces(ours))
        os.close(ours)
        return process.wait(60), shown.decode().replace("\r\n", "\n")


def _pieces(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, 65_536)
        except OSError:  # the other side is closed
            return
        if not piece:
            return
        yield piece


def live(desk: Desk, environment: str = "test") -> CatalogDocument:
    with desk.server.client("read", environment) as reader:
        return read_document(reader.get("/v1/catalog").raise_for_status().json())
