"""Clients that are quicker than an application's, and are gone with their test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flux_middleware.client import Flux
from flux_middleware.refresher import Pace
from tests.flux_server.running import FakeClock

__all__ = ["KEY", "QUICK", "client", "threads"]

KEY = "flux_test_0123456789"
QUICK = Pace(heartbeat=0.2, takeover=0.1, drain=0.05, tend=0.2)


@contextmanager
def client(
    directory: Path, url: str, key: str = KEY, clock: FakeClock | None = None, *, start: bool = True
) -> Iterator[Flux]:
    """Run a client for the length of the block."""
    running = Flux(key, url=url, directory=directory, clock=clock or FakeClock(), start=start, pace=QUICK)
    try:
        yield running
    finally:
        running.shutdown(0.2)


def threads() -> list[threading.Thread]:
    """Return the background threads of this process's clients."""
    return [thread for thread in threading.enumerate() if thread.name == "flux-refresher"]
