"""A clock that tests turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from flux_middleware.errors import ConfigurationError

__all__ = ["Clock", "seconds_of"]


class Clock:
    """Tells the time in seconds since the epoch; it stands until it is turned.

    Args:
        now: where it starts; otherwise at the present time.
        running: whether it goes on by itself, with `time.time()`; so it follows whatever replaces that one.
    """

    def __init__(self, now: datetime | float | None = None, *, running: bool = False) -> None:
        self._is_running = running
        self._added = 0.0
        self._watching: list[Callable[[], None]] = []
        self.move_to(time.time() if now is None else now)

    def __call__(self) -> float:
        return self._added + (time.time() if self._is_running else 0.0)

    def shift(self, by: timedelta | float) -> None:
        """Turn the clock by that much; by seconds, if it is a number."""
        self._turn(by.total_seconds() if isinstance(by, timedelta) else by)

    def move_to(self, moment: datetime | float) -> None:
        """Turn the clock to the moment; a number is seconds since the epoch."""
        self._turn(seconds_of(moment) - self())

    def when_turned(self, tell: Callable[[], None]) -> None:
        """Call the function each time that the clock was turned."""
        self._watching.append(tell)

    def _turn(self, seconds: float) -> None:
        self._added += seconds
        for tell in self._watching:
            tell()


def seconds_of(moment: datetime | float) -> float:
    """Return the moment in seconds since the epoch.

    Raises:
        ConfigurationError: it is a time of day that may be anywhere on earth.
    """
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ConfigurationError(f"{moment!r} has no time zone; write datetime(..., tzinfo=UTC)")
    return moment.timestamp()
