"""What a benchmark returns, and how call times are compared fairly on a noisy machine."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Figure", "nanoseconds_per_call"]

ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and the bar it is held to, which is an upper bound unless `at_least`."""

    key: str
    value: float
    bar: float
    meaning: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def nanoseconds_per_call(calls: dict[str, Callable[[], object]], *, number: int) -> dict[str, float]:
    """Return the median time of one inner call by name; every round measures all, so that noise hits all alike.

    Each callable makes `number` inner calls.
    """
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # warm up
    for _ in range(ROUNDS):
        for name, call in calls.items():
            rounds[name].append(timeit.timeit(call, number=1) / number * 1e9)
    return {name: statistics.median(times) for name, times in rounds.items()}
