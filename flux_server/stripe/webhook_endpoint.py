"""A webhook endpoint as Stripe keeps it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["StripeEndpoint", "read_endpoint"]


@dataclass(frozen=True, slots=True)
class StripeEndpoint:
    """An address that Stripe sends events to; `secret` is there only where it has just been made."""

    id: str
    url: str
    enabled: bool
    events: frozenset[str]
    metadata: Mapping[str, str]
    api_version: str | None = None
    secret: str | None = field(default=None, repr=False)


def read_endpoint(found: Mapping[str, Any]) -> StripeEndpoint:
    """Read what Stripe answered."""
    return StripeEndpoint(
        id=found["id"],
        url=found.get("url") or "",
        enabled=found.get("status") == "enabled",
        events=frozenset(found.get("enabled_events") or ()),
        metadata=found.get("metadata") or {},
        api_version=found.get("api_version"),
        secret=found.get("secret"),
    )
