"""Time that somebody else turns, for development: a sandbox says what day it is, and everybody follows. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from flux_middleware.wire import WireStruct, decode

__all__ = ["FollowedClock", "read_now"]

_END: Final = 253_370_764_800  # year 9999: periods around a moment must still be dates


class ClockReading(WireStruct, frozen=True):
    """What a clock answers when it is asked."""

    now: Annotated[float, msgspec.Meta(ge=0, lt=_END)]


def read_now(content: bytes) -> float:
    """Return the seconds since the epoch that a clock answered: `{"now": 1795518509}`.

    Raises:
        InvalidRecordError: a clock does not answer so.
    """
    return decode(content, ClockReading).now


class FollowedClock:
    """The wall's time, ahead by as much as the clock that it follows; it never goes back.

    Between two readings, and when no more come, it goes on as the wall does.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self._ahead = 0.0

    def __call__(self) -> float:
        return self.wall() + self._ahead

    def follow(self, now: float) -> float:
        """Take in what the followed clock says; return by how many seconds this one is ahead of it."""
        ahead = now - self.wall()
        # A reading is late by its way here, and cut to whole seconds perhaps: the furthest one is the best.
        self._ahead = max(self._ahead, ahead)
        return self._ahead - ahead
