"""How long to wait before trying again. Pure."""

from __future__ import annotations

__all__ = ["LEASE", "retry_delay"]

LEASE = 30
"""Seconds for which a claim holds. Above the time limit of a call, so that only a dead claimant loses one."""

_FIRST = 2.0
_LONGEST = 3600.0


def retry_delay(attempts: int, chance: float, *, at_least: float = 0) -> int:
    """Return the seconds to wait after this many attempts; `chance` (0 to 1) spreads those who wait together."""
    longest = min(_FIRST * 2.0 ** min(attempts - 1, 20), _LONGEST)
    return max(1, round(longest * (0.5 + chance / 2)), round(at_least))
