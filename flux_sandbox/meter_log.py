"""Usage as meters keep it: what was reported, by identifier, and what it adds up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

__all__ = ["WINDOWS", "MeterLog", "Usage", "aggregate"]

WINDOWS: Final = {"hour": 3_600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Usage:
    """One reported meter event."""

    identifier: str
    event_name: str
    meter: str
    customer: str
    value: Decimal
    timestamp: int
    received_at: int


class MeterLog:
    """Every meter event that counts, by meter and customer in the order of arrival."""

    def __init__(self) -> None:
        self._by_identifier: dict[str, Usage] = {}
        self._by_customer: defaultdict[tuple[str, str], list[Usage]] = defaultdict(list)

    def find(self, identifier: str) -> Usage | None:
        """Return what was last reported under the identifier, even if it was cancelled since."""
        return self._by_identifier.get(identifier)

    def add(self, usage: Usage) -> None:
        """Count a meter event."""
        self._by_identifier[usage.identifier] = usage
        self._by_customer[usage.meter, usage.customer].append(usage)

    def cancel(self, usage: Usage) -> None:
        """Count a meter event no longer; cancelling it again changes nothing."""
        key = usage.meter, usage.customer
        self._by_customer[key] = [other for other in self._by_customer[key] if other is not usage]

    def between(self, meter: str, customer: str, start: int, end: int) -> list[Usage]:
        """Return the customer's usage from `start` to before `end`, by timestamp, then by arrival."""
        found = [usage for usage in self._by_customer[meter, customer] if start <= usage.timestamp < end]
        return sorted(found, key=lambda usage: usage.timestamp)

    def customers(self, meter: str) -> list[str]:
        """Return the customers who have usage on the meter."""
        return sorted(customer for of, customer in self._by_customer if of == meter)


def aggregate(usage: list[Usage], formula: str, time_window: str | None) -> Decimal:
    """Return what usage, ordered as in the log, adds up to.

    With a time window, usage is taken as pre-aggregated: only the most recent event in each window counts.
    """
    if time_window is not None:
        seconds = WINDOWS[time_window]
        usage = list({one.timestamp // seconds: one for one in usage}.values())
    return _FORMULAS[formula](one.value for one in usage)


def _last(values: Iterable[Decimal]) -> Decimal:
    return [Decimal(0), *values][-1]


_FORMULAS: Final[dict[str, Callable[[Iterable[Decimal]], Decimal]]] = {
    "sum": lambda values: sum(values, Decimal(0)),
    "count": lambda values: Decimal(sum(1 for _ in values)),
    "last": _last,
}
