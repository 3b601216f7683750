"""What the doctor found: each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Level", "ok", "problem", "warning"]


class Level(StrEnum):
    """How bad it is. With a problem, something does not work; a warning is about something that may not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at `name` found, and how to mend it."""

    name: str
    level: Level
    detail: str
    fix: str = ""


def ok(name: str, detail: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(name, Level.OK, detail)


def warning(name: str, detail: str, fix: str) -> Finding:
    """Return that something may be wrong."""
    return Finding(name, Level.WARNING, detail, fix)


def problem(name: str, detail: str, fix: str) -> Finding:
    """Return that something is wrong."""
    return Finding(name, Level.PROBLEM, detail, fix)
