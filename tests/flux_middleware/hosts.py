"""A host to test on: what its store is told, and its processes, which are really started and really killed."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flux_middleware.catalog import Catalog, Feature, Metric
from flux_middleware.snapshot import (
    OrganizationChanged,
    OrganizationRecord,
    Override,
    SnapshotHeader,
    UsageReceipt,
    UsageStanding,
    encode,
)
from flux_middleware.store import Store

__all__ = [
    "CATALOG",
    "HOUR",
    "NOON",
    "Child",
    "change",
    "fill",
    "forked",
    "header",
    "receipt",
    "record",
    "wait_until",
]

NOON = 1_760_011_200  # 2025-10-09 12:00 UTC
HOUR = 3600

CATALOG = Catalog(
    features=(
        Feature("sso", "boolean", merge="any"),
        Feature("audit-logs", "boolean", merge="any"),
        Feature("seats", "limit"),
    ),
    metrics=(Metric("calls"), Metric("tokens")),
)


def header(revision: int = 1, instance: str = "first", catalog: Catalog = CATALOG) -> SnapshotHeader:
    return SnapshotHeader("1.0", "test", instance, revision, catalog)


def record(
    organization: str, *features: str, revision: int = 1, until: int | None = None, seats: int | None = None
) -> OrganizationRecord:
    """Return a record that entitles the organization to just these features."""
    overrides = [Override(f"o-{feature}", feature, "set", True, until) for feature in features]
    if seats is not None:
        overrides.append(Override("o-seats", "seats", "set", seats, until))
    return OrganizationRecord(organization, revision, overrides=tuple(overrides))


def change(organization: str, *features: str, revision: int) -> OrganizationChanged:
    return OrganizationChanged(revision, record(organization, *features, revision=revision))


def fill(store: Store, *records: OrganizationRecord, revision: int = 1, instance: str = "first") -> None:
    """Give the store a whole snapshot."""
    with store.replacement(header(revision, instance)) as replacement:
        replacement.add([(each.id, encode(each)) for each in records])
        replacement.commit()


def receipt(organization: str, quantity: int, *, usage_revision: int, metric: str = "calls") -> UsageReceipt:
    """Return the server's answer to a batch after which the organization has used this much."""
    standing = UsageStanding(organization, metric, NOON, quantity)
    return UsageReceipt(1, standings=(standing,), usage_revision=usage_revision)


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10) -> None:
    """Wait for something that happens in another thread or process."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        pause.wait(0.01)


class Child:
    """A forked process, and what it says."""

    def __init__(self, pid: int, output: int) -> None:
        self.pid = pid
        self._output = os.fdopen(output, "rb")
        self._status: int | None = None

    def line(self) -> str:
        """Return the next line that the child says; empty at its end."""
        return self._output.readline().decode().strip()

    def lines(self) -> list[str]:
        """Return all lines that the child still says, until it ends."""
        return self._output.read().decode().splitlines()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill it and wait for its end."""
        os.kill(self.pid, number)
        self.wait()

    def wait(self) -> int:
        """Wait for its end; return its exit code, negative if a signal ended it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def close(self) -> None:
        if self._status is None:
            self.kill()
        self._output.close()


def _speaker(pipe: int) -> Callable[[object], None]:
    def say(said: object) -> None:
        os.write(pipe, f"{said}\n".encode())

    return say


@contextmanager
def forked(
    work: Callable[[Callable[[object], None]], None], *, fork: Callable[[], int] = os.fork
) -> Iterator[Child]:
    """Run `work` in a child; it is given a function that says a line to this process."""
    reading, writing = os.pipe()
    pid = fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            work(_speaker(writing))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    child = Child(pid, reading)
    try:
        yield child
    finally:
        child.close()
