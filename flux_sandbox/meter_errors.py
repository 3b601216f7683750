"""Meter events that are found wrong later: taken at first, never counted, and reported by a thin event.

Stripe reports what went wrong within a window of time, by kind of error, with a few samples of each: who sent the
others is not told which they were.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from flux_sandbox.ledger import Document
from flux_sandbox.moments import written

__all__ = ["MeterError", "MeterErrors", "report"]


@dataclass(frozen=True, slots=True)
class MeterError:
    """What is wrong with one meter event, which is of no meter if there is none of its name."""

    meter: str | None
    code: str
    message: str
    identifier: str
    at: int


@dataclass(slots=True)
class MeterErrors:
    """Errors that wait to be reported."""

    later: bool = False
    """Whether meter events are checked later, rather than at once."""
    _waiting: list[MeterError] = field(default_factory=list)

    def note(self, error: MeterError) -> None:
        """Remember an error until it is reported."""
        self._waiting.append(error)

    def take(self) -> dict[str | None, list[MeterError]]:
        """Return what was found since the last time, by meter."""
        found: defaultdict[str | None, list[MeterError]] = defaultdict(list)
        for error in self._waiting:
            found[error.meter].append(error)
        self._waiting = []
        return dict(found)


def report(errors: list[MeterError], *, samples: int) -> Document:
    """Return what a thin event says of errors, with at most so many samples of each kind."""
    by_code: defaultdict[str, list[MeterError]] = defaultdict(list)
    for error in errors:
        by_code[error.code].append(error)
    return {
        "developer_message_summary": f"There is {len(errors)} invalid event(s)",
        "reason": {
            "error_count": len(errors),
            "error_types": [_kind(code, found, samples) for code, found in by_code.items()],
        },
        "validation_end": written(max(error.at for error in errors) + 1),
        "validation_start": written(min(error.at for error in errors)),
    }


def _kind(code: str, errors: list[MeterError], samples: int) -> Document:
    shown = [
        {"error_message": error.message, "request": {"identifier": error.identifier}}
        for error in errors[:samples]
    ]
    return {"code": code, "error_count": len(errors), "sample_errors": shown}
