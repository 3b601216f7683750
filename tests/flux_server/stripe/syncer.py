"""A syncing process, to be killed: python -m tests.flux_server.stripe.syncer DATABASE STRIPE AHEAD_FILE

Its time is as far ahead of the real one as the file says, in seconds. Calls are paced as always, fifty times as fast.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from flux_server.database import Database
from flux_server.jobs.runner import run_jobs
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector
from flux_server.stripe.jobs import stripe_jobs

__all__ = ["ahead", "hurried", "main"]

HURRY = 50


def ahead(file: Path) -> float:
    """Return the time, as far ahead as the file says."""
    return time.time() + float(file.read_text() or 0)


def hurried(database: Database, stripe: str, file: Path) -> Connector:
    """Return a connector for which a second of pacing lasts a fiftieth."""
    settings = Settings.model_validate({"secret_key": "a test's", "stripe_api_base": stripe})
    return Connector(
        database,
        settings,
        lambda: ahead(file),
        wall=time.time,
        pace=lambda: time.time() * HURRY,
        sleep=lambda seconds: asyncio.sleep(seconds / HURRY),
    )


async def main(url: str, stripe: str, file: Path) -> None:
    """Run the connector's jobs until somebody kills this process."""
    database = Database(url)
    connector = hurried(database, stripe, file)
    jobs = [job for job in stripe_jobs(connector) if job.name in ("stripe-sync", "stripe-sweep")]
    async with run_jobs(jobs, database.bell):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
