"""Which stretch of time usage counts in: the organization's period, a limit's own, and hourly buckets. Pure.

Client and server must cut time the same way, or usage would land in a bucket that the other side bills
elsewhere; so both call these functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from flux_middleware.snapshot import OrganizationRecord

__all__ = ["HOUR", "bucket_bounds", "limit_period", "usage_period"]

HOUR = 3600


def usage_period(record: OrganizationRecord, now: float) -> tuple[int, int]:
    """Return the period that `now` falls in, as (first second, first second after it).

    It is the billing period of the subscription item that began last, or the UTC calendar month where no item
    has one; it is over when another item's begins. A period whose renewal has not arrived yet is over all the
    same: what follows starts a new one, which ends with the month at the latest, when the renewal will long have
    been heard of.
    """
    billed = [
        (item.period_start, item.period_end)
        for subscription in record.subscriptions
        for item in subscription.items
        if item.period_start is not None and item.period_end is not None
    ]
    next_start = min((start for start, _ in billed if start > now), default=math.inf)
    newest = max((period for period in billed if period[0] <= now), default=None)
    if newest is not None and now < newest[1]:
        start, end = newest
    else:
        month_start, end = _month(now)
        start = max([month_start, *(newest or ())])
    return start, int(min(end, next_start))


def limit_period(record: OrganizationRecord, reset: str, now: float) -> tuple[int, float]:
    """Return the period at `now` of a limit that starts afresh every `reset`, as (first second, first after it).

    Days, weeks (from Monday), months and years are those of the UTC calendar; `never` is all time. Anything else
    is the organization's own period.
    """
    cut = _RESETS.get(reset)
    return usage_period(record, now) if cut is None else cut(now)


def bucket_bounds(record: OrganizationRecord, now: float) -> tuple[int, int]:
    """Return the usage bucket that `now` falls in: its UTC hour, cut at the organization's period boundaries."""
    hour = int(now) // HOUR * HOUR
    start, end = usage_period(record, now)
    return max(hour, start), min(hour + HOUR, end)


def _day(now: float) -> tuple[int, int]:
    start = int(now) // _DAY * _DAY
    return start, start + _DAY


def _week(now: float) -> tuple[int, int]:
    # The epoch was a Thursday, so weeks begin four days after a multiple of seven.
    start = (int(now) - 4 * _DAY) // (7 * _DAY) * (7 * _DAY) + 4 * _DAY
    return start, start + 7 * _DAY


def _month(now: float) -> tuple[int, int]:
    today = _date(now)
    return _first(today.year, today.month), _first(today.year + today.month // 12, today.month % 12 + 1)


def _year(now: float) -> tuple[int, int]:
    year = _date(now).year
    return _first(year, 1), _first(year + 1, 1)


def _ever(_: float) -> tuple[int, float]:
    return 0, math.inf


def _date(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def _first(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp())


_DAY: Final = 86_400

_RESETS: Final[dict[str, Callable[[float], tuple[int, float]]]] = {
    "day": _day,
    "week": _week,
    "month": _month,
    "year": _year,
    "never": _ever,
}
