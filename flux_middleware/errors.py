"""Every error Flux raises, in one tree.

FluxError
├── ConfigurationError            an argument, a setting or a FLUX_* variable is missing or wrong
│   └── NotInitializedError       flux.billing was used before flux.init()
├── EntitlementRequired           a gated function was called without the entitlement it needs
├── InvalidOrganizationError      an organization id is empty, too long or not a string
├── InvalidQuantityError          a usage quantity is negative, fractional or not a number
├── InvalidRecordError            a catalog or an organization's record contradicts itself
├── StoreError                    the host's local store cannot be opened, read or written
├── JournalError                  the usage journal cannot be opened or written
└── TransportError                the server could not be asked, or did not answer as agreed
    ├── ServerUnreachableError    no answer: wrong address, refused, timed out, cut off
    ├── ServerRefusedError        an answer, but not the one asked for; carries its status
    │   ├── InvalidApiKeyError    401: the API key is unknown or revoked
    │   └── ScopeError            403: the API key lacks the scope this call needs
    └── SchemaVersionError        the server speaks a newer major version of the protocol
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "EntitlementRequired",
    "FluxError",
    "InvalidApiKeyError",
    "InvalidOrganizationError",
    "InvalidQuantityError",
    "InvalidRecordError",
    "JournalError",
    "NotInitializedError",
    "SchemaVersionError",
    "ScopeError",
    "ServerRefusedError",
    "ServerUnreachableError",
    "StoreError",
    "TransportError",
]


class FluxError(Exception):
    """Base of everything Flux raises."""


class ConfigurationError(FluxError):
    """An argument, a setting or a FLUX_* variable is missing or wrong."""


class NotInitializedError(ConfigurationError):
    """Flux was asked something before it was initialized."""

    def __init__(self) -> None:
        super().__init__("call flux.init() once at start-up, before using flux.billing")


class EntitlementRequired(FluxError):  # noqa: N818  a refusal that applications catch, named as they read it
    """The organization is not entitled to the feature it asked for."""

    def __init__(self, feature: str, organization: str | None) -> None:
        super().__init__(f"organization {organization!r} is not entitled to {feature!r}")
        self.feature = feature
        self.organization = organization


class InvalidOrganizationError(FluxError, ValueError):
    """An organization id is a string of 1 to 255 bytes of UTF-8."""

    def __init__(self, organization: object) -> None:
        super().__init__(
            f"an organization id is a string of 1 to 255 bytes of UTF-8 without NUL, not {organization!r:.300}"
        )
        self.organization = organization


class InvalidQuantityError(FluxError, ValueError):
    """A usage quantity is a whole number, zero or more."""

    def __init__(self, metric: str, quantity: object) -> None:
        super().__init__(
            f"usage of {metric!r} is recorded in whole numbers of 0 or more, not {quantity!r:.100}; "
            "pick a smaller unit for fractions, and correct earlier usage through the server's API"
        )
        self.metric = metric
        self.quantity = quantity


class InvalidRecordError(FluxError, ValueError):
    """A catalog or an organization's record contradicts itself."""


class StoreError(FluxError):
    """The host's local store cannot be opened, read or written."""


class JournalError(FluxError):
    """The usage journal cannot be opened or written."""


class TransportError(FluxError):
    """The server could not be asked, or did not answer as agreed."""


class ServerUnreachableError(TransportError):
    """The server gave no answer: wrong address, refused, timed out or cut off."""


class ServerRefusedError(TransportError):
    """The server answered, but not with what was asked for."""

    def __init__(self, status: int, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"the Flux server answered {status}: {detail}")
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class InvalidApiKeyError(ServerRefusedError):
    """The API key is unknown or revoked."""


class ScopeError(ServerRefusedError):
    """The API key lacks the scope this call needs."""


class SchemaVersionError(TransportError):
    """The server speaks a newer major version of the protocol than this library."""

    def __init__(self, offered: str, understood: str) -> None:
        super().__init__(
            f"the server speaks schema {offered}, this library understands {understood}; upgrade flux-middleware"
        )
        self.offered = offered
        self.understood = understood
