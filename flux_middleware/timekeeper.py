"""Follows the clock that FLUX_CLOCK_URL names: in each process, as the time of a process goes with it.

Were it kept for the whole host, in the local store, then a sandbox that starts anew would leave the host in the
future for good: the time never goes back.
"""

from __future__ import annotations

import threading
from typing import Final

from flux_middleware.clock import FollowedClock
from flux_middleware.conditions import Conditions
from flux_middleware.errors import TransportError
from flux_middleware.transport import ClockAddress

__all__ = ["Timekeeper"]

_INTERVAL = 0.5
_BEHIND: Final = 60.0
"""Seconds by which a clock may go back before it is worth a word."""


class Timekeeper:
    """One process' thread that asks what time it is."""

    def __init__(self, clock: FollowedClock, url: str, *, conditions: Conditions) -> None:
        self._clock = clock
        self._url = url
        self._conditions = conditions
        self._begin_process()

    def _begin_process(self) -> None:
        self._address = ClockAddress(self._url)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="flux-clock", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 0.0) -> None:
        """Let the thread end, and wait up to `timeout` seconds for that; the time goes on from where it is."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def after_fork(self) -> None:
        """In a forked child, which has no such thread: begin anew with the time that the parent had."""
        self._begin_process()

    def ask(self) -> None:
        """Take in what the address says now."""
        try:
            behind = self._clock.follow(self._address.ask())
        except TransportError as error:
            self._conditions.begin("clock", str(error), "%s; the time goes on from where it is", error)
            return
        if behind < _BEHIND:
            self._conditions.end("clock", "the clock at %s is followed again", self._url)
            return
        message = (
            "the clock at %s went back; the time here stays ahead of it until this process is started again"
        )
        self._conditions.begin("clock", "behind", message, self._url)

    def _run(self) -> None:
        stopping, address = self._stopping, self._address
        while not stopping.wait(_INTERVAL):
            self.ask()
        address.close()
