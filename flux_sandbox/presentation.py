"""How a rendered document leaves the sandbox: in the mode of its account."""

from __future__ import annotations

from typing import Any

from flux_sandbox.profile import Profile

__all__ = ["present"]


def present(document: Any, profile: Profile) -> Any:
    """Return the document as the account shows it."""
    return _live(document) if profile.livemode else document


def _live(value: Any) -> Any:
    """Say of every object that it is of live mode; they are stored as of test mode."""
    if isinstance(value, list):
        return [_live(each) for each in value]
    if not isinstance(value, dict):
        return value
    shown = {name: _live(each) for name, each in value.items()}
    return {**shown, "livemode": True} if "livemode" in value else shown
