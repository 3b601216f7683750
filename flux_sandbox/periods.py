"""Billing periods: a grid of moments from an anchor on. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["boundary", "next_boundary"]

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


def boundary(anchor: int, recurring: Mapping[str, Any], number: int) -> int:
    """Return where the period after `number` periods from the anchor starts.

    Months keep the anchor's day, or take their last where they are shorter: 31 January, 28 February, 31 March.
    """
    start = datetime.fromtimestamp(anchor, UTC)
    count = recurring["interval_count"] * number
    interval = recurring["interval"]
    if interval in _DAYS:
        return int((start + timedelta(days=_DAYS[interval] * count)).timestamp())
    month = start.month - 1 + _MONTHS[interval] * count
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def next_boundary(anchor: int, recurring: Mapping[str, Any], moment: int) -> int:
    """Return the first moment of the grid, not before the anchor, that is after `moment`."""
    interval = recurring["interval"]
    seconds = _DAYS[interval] * 86_400 if interval in _DAYS else _MONTHS[interval] * 31 * 86_400
    longest = seconds * recurring["interval_count"]
    number = max(0, (moment - anchor) // longest)  # no period is longer, so this never skips one
    while boundary(anchor, recurring, number) <= moment:
        number += 1
    return boundary(anchor, recurring, number)
