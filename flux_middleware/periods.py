"""Which stretch of time usage counts in: the organization's period, and the hourly buckets inside it. Pure.

Client and server must cut time the same way, or usage would land in a bucket that the other side bills
elsewhere; so both call these functions.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flux_middleware.snapshot import OrganizationRecord

__all__ = ["HOUR", "bucket_bounds", "usage_period"]

HOUR = 3600


def usage_period(record: OrganizationRecord, now: float) -> tuple[int, int]:
    """Return the period that `now` falls in, as (first second, first second after it).

    It is the billing period of the subscription item that began last, or the UTC calendar month where no item
    has one. A period whose renewal has not arrived yet is over all the same: what follows starts a new one,
    which ends with the month at the latest, when the renewal will long have been heard of.
    """
    month_start, month_end = _calendar_month(now)
    started = [
        (item.period_start, item.period_end)
        for subscription in record.subscriptions
        for item in subscription.items
        if item.period_start is not None and item.period_end is not None and item.period_start <= now
    ]
    if not started:
        return month_start, month_end
    start, end = max(started)
    if now < end:
        return start, end
    return max(end, month_start), month_end


def bucket_bounds(record: OrganizationRecord, now: float) -> tuple[int, int]:
    """Return the usage bucket that `now` falls in: its UTC hour, cut at the organization's period boundaries."""
    hour = int(now) // HOUR * HOUR
    start, end = usage_period(record, now)
    return max(hour, start), min(hour + HOUR, end)


def _calendar_month(now: float) -> tuple[int, int]:
    today = datetime.fromtimestamp(now, UTC)
    first = datetime(today.year, today.month, 1, tzinfo=UTC)
    following = datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC)
    return int(first.timestamp()), int(following.timestamp())
