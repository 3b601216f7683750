"""What can come of a call to Stripe, in the few kinds that decide what to do next.

CallError
├── TemporaryError     no answer, or "not now": try again later
├── KeyRefusedError    401 or 403: the key is revoked, or lacks a permission
├── AbsentError        404: there is no such object
├── RefusedError       any other refusal: the same request would be refused again
└── AnswerError        Stripe answered something that this connector cannot read
"""

from __future__ import annotations

import re

from flux_middleware.errors import FluxError

__all__ = [
    "AbsentError",
    "AnswerError",
    "CallError",
    "KeyRefusedError",
    "RefusedError",
    "TemporaryError",
]


class CallError(FluxError):
    """A call to Stripe did not succeed. The message holds no secret."""


class TemporaryError(CallError):
    """No answer, or "not now". `arrived` says whether Stripe may have done it all the same.

    `too_many`: there were more calls than Stripe takes of this kind.
    """

    def __init__(
        self, message: str, *, arrived: bool, retry_after: float = 0, too_many: bool = False
    ) -> None:
        super().__init__(message)
        self.arrived = arrived
        self.retry_after = retry_after
        self.too_many = too_many


class KeyRefusedError(CallError):
    """Stripe refuses the key (401), or the key lacks a permission (403)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def permission(self) -> str | None:
        """Return the permission that is missing, where Stripe names it."""
        named = re.search(r"\brak_[a-z0-9_]+", str(self))
        return named.group() if named else None


class AbsentError(CallError):
    """There is no such object."""


class RefusedError(CallError):
    """Stripe understood the request and refuses it."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class AnswerError(CallError):
    """Stripe answered something that this connector cannot read."""
