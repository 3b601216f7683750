"""Moments as v2 of the API writes them: RFC 3339, in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["read_moment", "written"]


def written(moment: int) -> str:
    """Return a moment as a text."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def read_moment(text: str) -> float | None:
    """Return the moment that a text names, if it names one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()
