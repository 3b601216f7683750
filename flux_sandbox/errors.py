"""What Stripe answers when it refuses.

    StripeError
    ├── RefusedError            400  understood, but the account's state forbids it
    ├── InvalidParametersError  400  *  parameters that Stripe would not take
    ├── MissingError            404  no such object (400 where a parameter names it)
    ├── UnknownPathError        404  *  no such method and path
    ├── UnauthorizedError       401  *  no key of the account's mode
    │   └── KeyExpiredError     401  a key that was revoked
    ├── ForbiddenError          403  a restricted key without the permission
    ├── IdempotencyError        400  *  an idempotency key used for something else before
    ├── PaymentError            402  a payment was declined, or needs the customer
    ├── KeyInUseError           409  an idempotency key whose first request is still running
    ├── ConflictError           409  another request has the object at this moment
    │   └── BusyError           429  another request has what takes one at a time
    ├── RateLimitedError        429  too many requests
    └── CrashedError            500  the sandbox itself failed, or was told to

Those with a star are faults of the caller's code, whatever the account's state: they are kept as violations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "BusyError",
    "ConflictError",
    "CrashedError",
    "ForbiddenError",
    "IdempotencyError",
    "InvalidParametersError",
    "KeyExpiredError",
    "KeyInUseError",
    "MissingError",
    "PaymentError",
    "Problem",
    "RateLimitedError",
    "RefusedError",
    "StripeError",
    "UnauthorizedError",
    "UnknownPathError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one parameter."""

    param: str
    code: str
    message: str


class StripeError(Exception):
    """A refusal in Stripe's words."""

    status: int = 400
    type: ClassVar[str] = "invalid_request_error"
    violation: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @property
    def problems(self) -> Sequence[Problem]:
        """Everything that is wrong with the request; Stripe's answer tells the first only."""
        return [Problem(self.param or "", self.code or self.type, self.message)]

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON; a member without a value is left out, as Stripe does."""
        members = {"code": self.code, "message": self.message, "param": self.param, "type": self.type}
        return {"error": {name: value for name, value in members.items() if value is not None}}


class RefusedError(StripeError):
    """The request is well formed, but what it asks for cannot be done."""


class InvalidParametersError(StripeError):
    """Parameters are unknown, missing or not of the kind that Stripe takes."""

    violation = True

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.message, code=first.code, param=first.param or None)
        self._problems = tuple(problems)

    @property
    def problems(self) -> Sequence[Problem]:
        return self._problems


class MissingError(StripeError):
    """There is no such object."""

    def __init__(self, kind: str, id_: str, *, param: str | None = None) -> None:
        name = kind.rpartition(".")[2]
        super().__init__(f"No such {name}: '{id_}'", code="resource_missing", param=param or "id")
        # Stripe tells an object that is not at the path (404) from one that a parameter names (400).
        self.status = 404 if param is None else 400


class UnknownPathError(StripeError):
    """Stripe, or this much of it, has no such method and path."""

    status = 404
    violation = True

    def __init__(self, method: str, path: str) -> None:
        super().__init__(
            f"Unrecognized request URL ({method}: {path}). See docs/sandbox.md for what there is."
        )


class UnauthorizedError(StripeError):
    """The request carries no key for the account's mode."""

    status = 401
    violation = True

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"WWW-Authenticate": 'Basic realm="flux-sandbox"'})


class KeyExpiredError(UnauthorizedError):
    """The key was revoked: no fault of the code that sends it."""

    violation = False

    def __init__(self, redacted_key: str) -> None:
        super().__init__(f"Expired API Key provided: {redacted_key}", code="api_key_expired")


class ForbiddenError(StripeError):
    """The key lacks the permission."""

    status = 403


class IdempotencyError(StripeError):
    """An idempotency key comes again with another request than its first."""

    type = "idempotency_error"
    violation = True


class PaymentError(StripeError):
    """A payment does not succeed, and the request needed it to. That it was tried is no secret: events tell it."""

    status = 402
    type = "card_error"


class KeyInUseError(StripeError):
    """The first request with this idempotency key has no answer yet."""

    status = 409
    type = "idempotency_error"

    def __init__(self) -> None:
        super().__init__(
            "There is currently another in-progress request using this Idempotency Key. Please try again later.",
            code="idempotency_key_in_use",
        )


class ConflictError(StripeError):
    """Another request has the object at this moment."""

    status = 409

    def __init__(self) -> None:
        message = (
            "This object cannot be accessed right now because another API request or Stripe process is currently "
            "accessing it. If you see this error intermittently, retry the request."
        )
        super().__init__(message, code="lock_timeout")


class BusyError(ConflictError):
    """Another request has what takes one at a time; Stripe counts that as a limit of rate."""

    status = 429


class RateLimitedError(StripeError):
    """Too many requests; none of them is carried out."""

    status = 429

    def __init__(self, retry_after: int | None = None) -> None:
        headers = {"Stripe-Rate-Limited-Reason": "global-rate"}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        message = "Request rate limit exceeded. Learn more about rate limits at https://stripe.com/docs/rate-limits."
        super().__init__(message, code="rate_limit", headers=headers)


class CrashedError(StripeError):
    """The sandbox failed, or plays that it did; its log says why."""

    status = 500
    type = "api_error"

    def __init__(self) -> None:
        super().__init__("An unknown error occurred. The log of flux-sandbox says which.")
