"""How many webhooks a link refused lately: counted by this process, for the answer and the log only."""

from __future__ import annotations

from typing import Final

__all__ = ["Refusals"]

_WINDOW: Final = 60  # seconds
_MOST: Final = 100


class Refusals:
    """Counts refused webhooks of each environment, minute by minute."""

    def __init__(self, *, most: int = _MOST) -> None:
        self._most = most
        self._counts: dict[str, tuple[float, int]] = {}

    def count(self, environment: str, now: float) -> int:
        """Count one more; return the seconds to wait if there were too many, or 0."""
        began, count = self._counts.get(environment, (now, 0))
        if not began <= now < began + _WINDOW:
            began, count = now, 0
        self._counts[environment] = (began, count + 1)
        return max(1, round(began + _WINDOW - now)) if count >= self._most else 0
