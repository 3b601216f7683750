"""How a rendered document leaves the sandbox: in the shape of a version, and in the mode of its account."""

from __future__ import annotations

from typing import Any

import msgspec

from flux_sandbox import API_VERSION
from flux_sandbox.ledger import Document
from flux_sandbox.profile import Profile
from flux_sandbox.versions import as_of, event_as_of

__all__ = ["encoded", "present", "present_event"]


def encoded(document: Document) -> bytes:
    """Return the JSON of a document, indented as Stripe's is. (Python's own library takes ten times as long.)"""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def present(document: Document, profile: Profile, version: str) -> Document:
    """Return the document as an answer shows it."""
    if {version, profile.api_version} != {API_VERSION}:  # otherwise nothing in it is older
        document = as_of(document, version)
    return _in_mode(document, profile)


def present_event(event: Document, profile: Profile, version: str | None) -> Document:
    """Return a snapshot event as a webhook shows it: in its receiver's version, if that has one."""
    version = version or profile.api_version
    shown = event if version == event["api_version"] == API_VERSION else event_as_of(event, version)
    return _in_mode(shown, profile)


def _in_mode(document: Document, profile: Profile) -> Document:
    return _live(document) if profile.livemode else document


def _live(value: Any) -> Any:
    """Say of every object that it is of live mode; they are stored as of test mode."""
    if isinstance(value, list):
        return [_live(each) for each in value]
    if not isinstance(value, dict):
        return value
    shown = {name: _live(each) for name, each in value.items()}
    return {**shown, "livemode": True} if "livemode" in value else shown
