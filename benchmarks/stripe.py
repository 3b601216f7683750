"""What following Stripe costs, and that it ends right: beside the sandbox over HTTP."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure
from benchmarks.stripe_sweeps import measure_sweeps
from benchmarks.stripe_webhooks import webhook_to_gate_ms
from flux_sandbox.testing import StripeSandbox
from flux_server.database import Database
from flux_server.environments.environments import ensure_environment
from flux_server.migrations.upgrade import upgrade
from tests.flux_server.stripe.histories import Histories

__all__ = ["measure", "new_database"]

_HISTORIES: Final = 1_000
_SUBSCRIPTIONS: Final = 10_000


def measure() -> Iterator[Figure]:
    """Measure sweeps and webhooks, then let a thousand subscriptions live while what follows them is killed."""
    with tempfile.TemporaryDirectory(prefix="flux-bench-") as directory:
        yield from _sweeps(Path(directory))
    yield Figure(
        "webhook_to_gate_p99_ms",
        webhook_to_gate_ms(),
        100,
        "milliseconds from a webhook's delivery to the changed answer in a running process",
    )
    with tempfile.TemporaryDirectory(prefix="flux-bench-") as directory:
        yield _histories(Path(directory))


def _sweeps(directory: Path) -> Iterator[Figure]:
    found = measure_sweeps(new_database(directory), _SUBSCRIPTIONS)
    many = f"{_SUBSCRIPTIONS:,} subscriptions"
    yield Figure("sweep_s", found.first_s, 60, f"seconds to sweep {many} that Flux had not heard of")
    yield Figure("sweep_again_s", found.again_s, 60, f"seconds to sweep {many} that are as Flux believes")
    yield Figure(
        "sweep_peak_rps", found.peak_rps, 25, "most calls in one second to one endpoint, as the sandbox saw"
    )
    yield Figure(
        "drift_after_sweep",
        found.drift_after,
        0,
        f"drift that a second sweep finds after {found.changed:,} changes of which no webhook came",
    )


def _histories(directory: Path) -> Figure:
    with StripeSandbox() as sandbox:
        histories = Histories(new_database(directory), sandbox, directory)
        wrong = asyncio.run(histories.run(_HISTORIES))
    killed = f"though {histories.killed} workers were killed"
    meaning = f"of {_HISTORIES:,} histories told in chaos, those that are wrong in the end, {killed}"
    return Figure("histories_wrong", len(wrong), 0, meaning)


def new_database(directory: Path) -> str:
    """Make a migrated SQLite database in the directory; return its address."""
    url = f"sqlite+aiosqlite:///{directory / 'flux.sqlite3'}"
    asyncio.run(_migrate(url))
    return url


async def _migrate(url: str) -> None:
    database = Database(url)
    await upgrade(database)
    async with database.write() as connection:
        await ensure_environment(connection, "test", 0)
    await database.close()
