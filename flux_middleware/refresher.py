"""The background thread of a process, and the one process of a host whose thread talks to the server.

Every process' thread tries for the host's refresher lock; whoever gets it follows the server and sends usage
until it dies, when the operating system lets go of the lock and the next takes over.
"""

from __future__ import annotations

import datetime
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flux_middleware.beacon import CONTACT, REFRESHER
from flux_middleware.conditions import Conditions
from flux_middleware.errors import FluxError, ServerRefusedError
from flux_middleware.journals import Journals
from flux_middleware.locks import host_lock
from flux_middleware.metering import Drain, drain_turn
from flux_middleware.store import Store
from flux_middleware.sync import Sync
from flux_middleware.transport import Transport

__all__ = ["Pace", "Refresher", "backoff"]

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 20.0
_LONGEST_ASKED = 60.0
"""A proxy may ask to come back tomorrow; plans change sooner."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things happen, in seconds."""

    heartbeat: float = 1.0
    takeover: float = 0.5
    drain: float = 0.25
    tend: float = 30.0


def backoff(attempt: int, chance: float) -> float:
    """Return how long to wait after `attempt` failures before this one, given a number from 0 to 1.

    The whole wait is left to chance ("full jitter"), so that hosts that lost a server together do not come
    back together.
    """
    return chance * min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(attempt, 20))


class Refresher:
    """One process' background thread."""

    def __init__(
        self,
        store: Store,
        *,
        connect: Callable[[], Transport],
        journals: Path,
        locks: Path,
        environment: str,
        conditions: Conditions,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._store = store
        self._connect = connect
        self._journal_directory = journals
        self._locks = locks
        self._environment = environment
        self._conditions = conditions
        self._clock = clock
        self._pace = pace
        self._begin_process()

    def _begin_process(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._transport = self._connect()
        self._journals = Journals(self._journal_directory, self._environment)
        self._drain = Drain(self._store, self._journals, self._transport, conditions=self._conditions)
        self._sync = Sync(
            self._store,
            self._transport,
            self._environment,
            clock=self._clock,
            heartbeat=self._pace.heartbeat,
            usage_turn=lambda: drain_turn(self._locks),
        )
        self._drain_at = self._tend_at = 0.0
        self._drain_failures = 0
        self.is_refresher = False

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="flux-refresher", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 0.0) -> None:
        """End the thread, cutting off what it waits for; wait up to `timeout` seconds."""
        self._stopping.set()
        self._transport.interrupt()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def after_fork(self) -> None:
        """In a forked child, which has no such thread: close what the parent's had open, and begin anew."""
        self._transport.forget()
        self._journals.close()
        self._begin_process()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with host_lock(self._locks / "refresher.lock") as held:
                    if held:
                        self._take_office()
                if not held:
                    self._stopping.wait(self._pace.takeover)
            except Exception as error:
                # Nothing above this thread could catch it, and checks go on without it.
                if not self._stopping.is_set():
                    message = "the refresher failed, and starts again in a moment:\n%s"
                    self._conditions.begin("refresher", repr(error), message, traceback.format_exc())
                    self._stopping.wait(self._pace.takeover)
        self._transport.close()

    def _take_office(self) -> None:
        words = self._store.beacon.words
        words[REFRESHER], self.is_refresher = os.getpid(), True
        try:
            self._refresh()
        finally:
            words[REFRESHER], self.is_refresher = 0, False

    def _refresh(self) -> None:
        attempt = 0
        self._tend_at = 0.0
        while not self._stopping.is_set():
            try:
                self._tend()
                for is_steady in self._sync.follow():
                    self._recovered()
                    self._tend()
                    self._send_usage()
                    attempt = 0 if is_steady else attempt
                    if self._stopping.is_set():
                        return
            except FluxError as error:
                if self._stopping.is_set():
                    return
                self._failed(error)
                self._stopping.wait(self._wait_after(error, attempt))
                attempt += 1
                self._send_usage()

    def _wait_after(self, error: FluxError, attempt: int) -> float:
        asked = error.retry_after if isinstance(error, ServerRefusedError) else None
        return max(min(asked or 0.0, _LONGEST_ASKED), backoff(attempt, random.random()))  # noqa: S311  nothing depends on its secrecy

    def _failed(self, error: FluxError) -> None:
        self._conditions.begin("server", str(error), "%s; %s", error, self._meanwhile())

    def _meanwhile(self) -> str:
        if self._store.synced() is None:
            return "there is no local store yet, so every check is denied until the server answers"
        contact = datetime.datetime.fromtimestamp(self._store.beacon.words[CONTACT] / 1000, datetime.UTC)
        return f"checks go on from the local store of {contact:%Y-%m-%d %H:%M:%S} UTC"

    def _recovered(self) -> None:
        self._conditions.end("server", "%s is reached again", self._transport.url)
        self._conditions.end("refresher")

    def _tend(self) -> None:
        now = time.monotonic()
        if now >= self._tend_at:
            self._tend_at = now + self._pace.tend
            self._store.tend()
            self._journals.remove_torn()

    def _send_usage(self) -> None:
        """Send usage if it is time to, and nobody else does."""
        if time.monotonic() < self._drain_at:
            return
        wait = self._pace.drain
        try:
            with drain_turn(self._locks) as turn:
                if turn:
                    self._drain.send()
        except FluxError as error:
            if not self._stopping.is_set():
                message = "usage cannot be sent (%s); it is kept in the journals"
                self._conditions.begin("usage", str(error), message, error)
            wait = self._wait_after(error, self._drain_failures)
            self._drain_failures += 1
        else:
            self._conditions.end("usage", "usage is sent again")
            self._drain_failures = 0
        self._drain_at = time.monotonic() + wait
