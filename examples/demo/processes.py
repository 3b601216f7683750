"""Start the demo's processes, wait until each is there, and end them again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["DemoError", "Process", "free_port", "wait_for"]


class DemoError(Exception):
    """Something the story promises did not happen."""


class Process:
    """One server process in a session of its own, its output in a log file."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._skip = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def wait_for_line(self, pattern: str, *, seconds: float = 60) -> re.Match[str]:
        """Return the first match of `pattern` in what the process has printed so far or prints soon.

        Raises:
            DemoError: the process ended, or printed no such line in time; its last lines are in the message.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self._child.poll() is not None
            found = re.search(pattern, self.output(), re.MULTILINE)
            if found:
                return found
            if ended:
                break
            time.sleep(0.02)
        tail = "\n".join(self.output().splitlines()[-20:])
        raise DemoError(f"{self.name} did not print {pattern!r}; its last lines:\n{tail}")

    def output(self) -> str:
        """Return what this process has printed."""
        with self.log.open("rb") as log:
            log.seek(self._skip)
            return log.read().decode(errors="replace")

    def stop(self, *, seconds: float = 10) -> None:
        """End the process as an operator would; by force, with all its children, if it does not."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


def free_port(preferred: int = 0) -> int:
    """Return `preferred` if it is free on this machine, else another free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, holds: object, *, seconds: float = 30) -> float:
    """Call `holds` until it is true and return how many milliseconds that took.

    Raises:
        DemoError: it did not become true in time.
    """
    assert callable(holds)
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if holds():
            return (time.monotonic() - start) * 1000
        time.sleep(0.005)
    raise DemoError(f"waited {seconds:g} s in vain: {what}")
