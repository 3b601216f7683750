"""What a check costs: beside the smallest Python method that could answer it, and when nothing is decoded yet."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks import imports
from benchmarks.figures import Figure, nanoseconds_per_call
from benchmarks.host import organization, running_host
from flux_middleware.answering import Billing

__all__ = ["measure"]

_STORED = 100_000
_WARM = 1_000
_REPEATED = 20
_COLD = 5_000


class Smallest:
    """The least that a check could be: a look into a dict of grants."""

    def __init__(self, organizations: list[str]) -> None:
        self.grants = {organization: frozenset({"sso", "seats"}) for organization in organizations}

    def is_entitled(self, organization: str, feature: str) -> bool:
        return feature in self.grants[organization]


def measure() -> Iterator[Figure]:
    """Measure warm and cold checks on a host that knows 100,000 organizations."""
    with running_host(_STORED) as client:
        yield from _cold(client.billing)
        yield from _warm(client.billing)
    yield from imports.measure()


def _warm(billing: Billing) -> Iterator[Figure]:
    organizations = [organization(number) for number in range(_WARM)]
    smallest = Smallest(organizations)
    times = nanoseconds_per_call(
        {
            "method": lambda: _check_all(smallest.is_entitled, organizations),
            "check": lambda: _check_all(billing.is_entitled, organizations),
            "limit": lambda: _limit_all(billing, organizations),
        },
        number=_WARM * _REPEATED,
    )
    method = times["method"]
    meaning = "a warm {}, in calls of a method that does `feature in grants[org]`"
    yield Figure("check_vs_method", times["check"] / method, 2.5, meaning.format("is_entitled"))
    yield Figure("limit_vs_method", times["limit"] / method, 3.0, meaning.format("get_limit(…).value"))


def _check_all(is_entitled: Callable[[str, str], bool], organizations: list[str]) -> None:
    for _ in range(_REPEATED):
        for each in organizations:
            is_entitled(each, "sso")


def _limit_all(billing: Billing, organizations: list[str]) -> None:
    get_limit = billing.get_limit
    for _ in range(_REPEATED):
        for each in organizations:
            get_limit(each, "seats").value  # noqa: B018  reading it is part of what is measured


def _cold(billing: Billing) -> Iterator[Figure]:
    numbers = random.Random(1).sample(range(_STORED), _COLD)
    billing.is_entitled(organization(_STORED), "sso")  # opens the store
    microseconds = []
    for number in numbers:
        never_seen = organization(number)
        start = time.perf_counter_ns()
        billing.is_entitled(never_seen, "sso")
        microseconds.append((time.perf_counter_ns() - start) / 1_000)
    cuts = statistics.quantiles(microseconds, n=1_000)
    meaning = f"µs of the first check of an organization, {_STORED:,} in the store: {{}}"
    yield Figure("cold_p50_us", cuts[499], 15, meaning.format("median"))
    yield Figure("cold_p99_us", cuts[989], 60, meaning.format("99 of 100 are faster"))
