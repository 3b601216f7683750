"""Usage over a period as bars: one a day, or one a week where days would be too many to tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flux_server.usage.reading import UsageBucket

__all__ = ["Bar", "Chart", "chart"]

_DAY: Final = 86_400
_MOST_DAYS = 62


@dataclass(frozen=True, slots=True)
class Bar:
    """What was used from the moment `start` on; `share` of the longest bar, from 0 to 1."""

    start: int
    quantity: int
    share: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of one `step` (in words) from the beginning of the period to its end."""

    step: str
    bars: tuple[Bar, ...]

    @property
    def most(self) -> int:
        """Return the quantity of the longest bar."""
        return max((bar.quantity for bar in self.bars), default=0)


def chart(buckets: Iterable[UsageBucket], start: int, end: int) -> Chart:
    """Return the period's bars; days are UTC days, so the first one may have begun before the period did."""
    first_day = start // _DAY * _DAY
    step = _DAY if end - first_day <= _MOST_DAYS * _DAY else 7 * _DAY
    sums = [0] * max(1, -(-(end - first_day) // step))
    for bucket in buckets:
        sums[(bucket.start - first_day) // step] += bucket.quantity
    most = max(sums) or 1
    bars = (Bar(first_day + place * step, quantity, quantity / most) for place, quantity in enumerate(sums))
    return Chart("day" if step == _DAY else "week", tuple(bars))
