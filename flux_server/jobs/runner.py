"""Runs what waits: jobs that wake when their topic rings or their interval is over, and survive their errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from flux_server.bell import Bell
from flux_server.errors import UnavailableError

__all__ = ["Job", "run_jobs"]

_log = structlog.get_logger("flux.jobs")
_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do whenever one of `topics` rings, and every `interval` seconds at the latest.

    `run` answers whether there may be more to do at once. It must be safe to run twice, and to be cut off.
    """

    name: str
    topics: tuple[str, ...]
    interval: float
    run: Callable[[], Awaitable[bool]]


@asynccontextmanager
async def run_jobs(jobs: Iterable[Job], bell: Bell) -> AsyncIterator[None]:
    """Run the jobs for the length of the block, each on its own: none waits for another, or ends with it."""
    tasks = [asyncio.create_task(_repeat(job, bell), name=f"flux job {job.name}") for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(job: Job, bell: Bell) -> None:
    failure, back_off = "", _FIRST_BACK_OFF
    with bell.listening(*job.topics) as rung:
        while True:
            rung.clear()
            try:
                more = await job.run()
            except Exception as error:
                # A job's boundary: whatever went wrong here, the next run starts from what is stored.
                if failure != (failure := f"{type(error).__name__}: {error}"):
                    _log.error(
                        "job failed, will be tried again",
                        job=job.name,
                        seconds=back_off,
                        reason=failure,
                        # Where the database is away, where in the code that was noticed says nothing.
                        exc_info=None if isinstance(error, UnavailableError) else error,
                    )
                await asyncio.sleep(back_off)
                back_off = min(back_off * 2, _LONGEST_BACK_OFF)
                continue
            if failure:
                _log.info("job works again", job=job.name)
                failure, back_off = "", _FIRST_BACK_OFF
            if not more:
                with suppress(TimeoutError):
                    await asyncio.wait_for(rung.wait(), job.interval)
