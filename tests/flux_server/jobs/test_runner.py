from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from flux_server.bell import Bell
from flux_server.jobs import runner
from flux_server.jobs.runner import Job, run_jobs


class Counted:
    """Counts its runs; `more` says how many times there is more at once, `error` is raised if set."""

    def __init__(self, more: int = 0, error: Exception | None = None) -> None:
        self.runs = 0
        self.more = more
        self.error = error
        self.ran = asyncio.Condition()

    async def __call__(self) -> bool:
        async with self.ran:
            self.runs += 1
            self.ran.notify_all()
        if self.error:
            raise self.error
        return self.runs <= self.more

    async def until(self, runs: int) -> None:
        async with asyncio.timeout(10), self.ran:
            await self.ran.wait_for(lambda: self.runs >= runs)


async def test_a_job_runs_at_the_start_and_whenever_its_topic_rings() -> None:
    bell, work = Bell(), Counted()

    async with run_jobs([Job("work", ("dirty",), 3600, work)], bell):
        await work.until(1)
        bell.ring("dirty")
        await work.until(2)


async def test_a_job_runs_again_when_its_interval_is_over() -> None:
    work = Counted()

    async with run_jobs([Job("work", (), 0.01, work)], Bell()):
        await work.until(3)


async def test_a_job_goes_on_while_there_is_more() -> None:
    work = Counted(more=5)

    async with run_jobs([Job("work", (), 3600, work)], Bell()):
        await work.until(6)


async def test_a_ring_during_the_run_is_not_lost() -> None:
    bell, runs, done = Bell(), 0, asyncio.Event()

    async def work() -> bool:
        nonlocal runs
        runs += 1
        if runs == 1:
            bell.ring("dirty")
        else:
            done.set()
        return False

    async with run_jobs([Job("work", ("dirty",), 3600, work)], bell):
        await asyncio.wait_for(done.wait(), 10)


async def test_a_failing_job_is_logged_once_and_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_FIRST_BACK_OFF", 0.001)
    broken, sound = Counted(error=OSError("the network is down")), Counted(more=1)

    with capture_logs() as logs:
        async with run_jobs([Job("broken", (), 3600, broken), Job("sound", (), 3600, sound)], Bell()):
            await broken.until(3)
            await sound.until(2)
            broken.error = None
            await broken.until(broken.runs + 1)

    assert [(log["event"], log["job"]) for log in logs] == [
        ("job failed, will be tried again", "broken"),
        ("job works again", "broken"),
    ]


async def test_leaving_the_block_ends_a_job_that_waits() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> bool:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return False

    async with run_jobs([Job("work", (), 1, work)], Bell()):
        await asyncio.wait_for(started.wait(), 10)

    assert ended.is_set()
