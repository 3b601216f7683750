"""Idempotency keys: the same request again gets the same answer again, whatever it was, for a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from flux_sandbox.errors import IdempotencyError, KeyInUseError

__all__ = ["Answer", "IdempotencyKeys"]

_KEPT: Final = 86_400
_MAX_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    """Stripe's code of the error, if it is one."""

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        """Return the answer with more headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class _Entry:
    request: object
    answer: Answer | None
    since: int


class IdempotencyKeys:
    """Answers by key, errors of the server included: a saved 500 is replayed, too."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def begin(self, key: str, request: object, now: int) -> Answer | None:
        """Return the saved answer; or take the key, to be finished or abandoned, and return None."""
        if not 0 < len(key) <= _MAX_LENGTH:
            raise IdempotencyError(f"An idempotency key has 1 to {_MAX_LENGTH} characters.")
        entry = self._entries.get(key)
        if entry is not None and entry.since > now - _KEPT:
            return self._replay(key, entry, request)
        self._entries.pop(key, None)  # so that it is the youngest again
        self._entries[key] = _Entry(request, None, now)
        return None

    def _replay(self, key: str, entry: _Entry, request: object) -> Answer:
        if entry.request != request:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request."
            )
            raise IdempotencyError(message)
        if entry.answer is None:
            raise KeyInUseError
        return entry.answer

    def finish(self, key: str, answer: Answer) -> None:
        """Save the answer to the request that took the key."""
        entry = self._entries[key]
        self._entries[key] = _Entry(entry.request, answer, entry.since)
        self._forget_old(entry.since)

    def abandon(self, key: str) -> None:
        """Give the key back: its request was never carried out."""
        del self._entries[key]

    def _forget_old(self, now: int) -> None:
        while (oldest := next(iter(self._entries))) and self._entries[oldest].since <= now - _KEPT:
            del self._entries[oldest]
