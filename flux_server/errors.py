"""Refusals: what a caller did that cannot be done, and the problem (RFC 9457) that tells them.

RequestError
├── InvalidRequestError       422  the request is understood but does not fit
├── UnauthorizedError         401  the API key is missing, unknown or revoked
├── ScopeMissingError         403  the API key lacks the scope this call needs
├── NotFoundError             404  there is no such thing
├── ConflictError             409  it contradicts what is stored
├── PreconditionFailedError   412  what the request was made for has changed meanwhile
├── BodyTooLargeError         413  the request's body is larger than the server reads
└── UnavailableError          503  the server cannot do it now; try again later

Each concept adds its own below these, with a `code` that callers may rely on. One handler in `flux_server.api`
turns them into responses.
"""

from __future__ import annotations

from typing import ClassVar

from flux_middleware.errors import FluxError

__all__ = [
    "BodyTooLargeError",
    "ConflictError",
    "InvalidRequestError",
    "NotFoundError",
    "PreconditionFailedError",
    "RequestError",
    "ScopeMissingError",
    "StartError",
    "UnauthorizedError",
    "UnavailableError",
]


class StartError(FluxError):
    """The server cannot start as it is configured; the message says what to change."""


class RequestError(FluxError):
    """A request is refused. `detail` says what to do; `members` are added to the problem."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"

    def __init__(self, detail: str, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the response."""
        return {}


class InvalidRequestError(RequestError):
    """The request is understood but does not fit."""

    status = 422
    code = "invalid_request"
    title = "Invalid request"


class UnauthorizedError(RequestError):
    """The API key is missing, unknown or revoked."""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class ScopeMissingError(RequestError):
    """The API key lacks the scope this call needs."""

    status = 403
    code = "scope_missing"
    title = "Scope missing"


class NotFoundError(RequestError):
    """There is no such thing."""

    status = 404
    code = "not_found"
    title = "Not found"


class ConflictError(RequestError):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"
    title = "Conflict"


class PreconditionFailedError(RequestError):
    """What the request was made for has changed meanwhile; `etag` is what it is now, if it is there."""

    status = 412
    code = "precondition_failed"
    title = "Precondition failed"

    @property
    def headers(self) -> dict[str, str]:
        etag = self.members.get("etag")
        return {"ETag": str(etag)} if etag else {}


class BodyTooLargeError(RequestError):
    """The request's body is larger than the server reads."""

    status = 413
    code = "body_too_large"
    title = "Body too large"


class UnavailableError(RequestError):
    """The server cannot do it now; the same request may succeed later."""

    status = 503
    code = "unavailable"
    title = "Unavailable"

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}
