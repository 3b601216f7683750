"""The account's time: the wall's, moved on by whoever turns it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["MAX_ADVANCE", "Clock"]

MAX_ADVANCE: Final = 2 * 366 * 86_400
"""The most seconds that one turn may move the clock on: each period on the way is billed."""


class Clock:
    """A clock that can be turned forward, never back."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self._ahead = 0.0

    def now(self) -> int:
        """Return the account's time in whole seconds since the epoch."""
        return int(self.wall() + self._ahead)

    def advance(self, seconds: float) -> None:
        """Turn the clock forward."""
        if not 0 <= seconds <= MAX_ADVANCE:
            raise ValueError(f"advance must be between 0 and {MAX_ADVANCE} seconds")
        self._ahead += seconds
