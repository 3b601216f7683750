"""A PostgreSQL server of the tests' own: in a temporary directory, on a Unix socket, without durability."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

__all__ = ["PostgresServer", "run_postgres"]

_OPTIONS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "listen_addresses=",
    "max_connections=200",
)


class PostgresServer:
    """A running server; makes databases."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._made = 0

    def url(self, name: str) -> str:
        return f"postgresql+asyncpg://flux@/{name}?host={self._sockets}"

    def make_database(self, template: str = "template1") -> str:
        """Make a database like `template`; return its name."""
        self._made += 1
        name = f"flux_{self._made}"
        asyncio.run(self._execute(f'CREATE DATABASE {name} TEMPLATE "{template}"'))
        return name

    def drop_database(self, name: str) -> None:
        asyncio.run(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(host=str(self._sockets), user="flux", database="postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server for the length of the block."""
    programs = _programs()
    user = _user()
    directory = Path(tempfile.mkdtemp(prefix="flux-pg-"))
    try:
        if user is not None:
            shutil.chown(directory, user)
        data = directory / "data"
        _call(
            user,
            programs / "initdb",
            "-D",
            data,
            "-U",
            "flux",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-N",
        )
        options = [argument for option in _OPTIONS for argument in ("-c", option)]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", directory, *options],
                user=user,
                cwd=directory,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_ready(user, programs, directory)
            yield PostgresServer(directory)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    if not versions:
        raise RuntimeError(
            "these tests need PostgreSQL: run scripts/system-packages, or apt-get install postgresql"
        )
    return versions[-1].parent


def _user() -> str | None:
    """PostgreSQL refuses to run as root; its package brings a user for it."""
    if os.getuid() != 0:
        return None
    return pwd.getpwnam("postgres").pw_name


def _call(user: str | None, *command: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], user=user, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def _wait_until_ready(user: str | None, programs: Path, directory: Path) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run([programs / "pg_isready", "-q", "-h", directory], user=user, cwd="/").returncode:
        assert time.monotonic() < deadline, (directory / "log").read_text()
        time.sleep(0.05)
