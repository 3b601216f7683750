"""What counting costs, and that threads lose nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from benchmarks.figures import Figure, nanoseconds_per_call
from benchmarks.host import organization, running_host
from flux_middleware.answering import Billing

__all__ = ["measure"]

_ORGANIZATIONS = 1_000
_REPEATED = 20
_THREADS = 8
_RECORDS_A_THREAD = 100_000


def measure() -> Iterator[Figure]:
    """Measure record_usage, alone and from several threads."""
    with running_host(_ORGANIZATIONS) as client:
        organizations = [organization(number) for number in range(_ORGANIZATIONS)]
        yield _recording(client.billing, organizations)
        yield from _threads(client.billing)


def _recording(billing: Billing, organizations: list[str]) -> Figure:
    times = nanoseconds_per_call(
        {
            "call": lambda: _call_all(_nothing, organizations),
            "record": lambda: _call_all(billing.record_usage, organizations),
        },
        number=_ORGANIZATIONS * _REPEATED,
    )
    meaning = "a warm record_usage, durable against SIGKILL, in calls of an empty function of two arguments"
    return Figure("record_vs_call", times["record"] / times["call"], 20, meaning)


def _nothing(organization: str, metric: str) -> None:
    """Do nothing."""


def _call_all(record: Callable[[str, str], None], organizations: list[str]) -> None:
    for _ in range(_REPEATED):
        for each in organizations:
            record(each, "api-calls")


def _threads(billing: Billing) -> Iterator[Figure]:
    before = billing.get_usage(organization(0), "api-calls").quantity
    alone = _records_per_second(billing, 1)
    together = _records_per_second(billing, _THREADS)
    recorded = billing.get_usage(organization(0), "api-calls").quantity - before
    lost = (1 + _THREADS) * _RECORDS_A_THREAD - recorded
    yield Figure("threads_lost", lost, 0, f"records lost when {_THREADS} threads count the same")
    yield Figure(
        "threads_rate_ratio",
        together / alone,
        0.5,
        f"records a second by {_THREADS} threads, in those by one",
        at_least=True,
    )


def _records_per_second(billing: Billing, threads: int) -> float:
    def record() -> None:
        for _ in range(_RECORDS_A_THREAD):
            billing.record_usage(organization(0), "api-calls")

    workers = [threading.Thread(target=record) for _ in range(threads)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * _RECORDS_A_THREAD / (time.perf_counter() - start)
