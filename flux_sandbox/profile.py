"""What an account is from the start: its id, its mode, and the API version of its own."""

from __future__ import annotations

from dataclasses import dataclass

from flux_sandbox import API_VERSION

__all__ = ["Profile"]


@dataclass(frozen=True)
class Profile:
    """Which account this is."""

    id: str = "acct_fluxsandbox"
    livemode: bool = False
    api_version: str = API_VERSION
    """The version of requests that name none, and of events."""
