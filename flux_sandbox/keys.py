"""API keys: any of the right form for test mode is taken, and no other."""

from __future__ import annotations

import base64
import re

from flux_sandbox.errors import UnauthorizedError

__all__ = ["KEY_FORMS", "require_key"]

KEY_FORMS = "sk_test_… or rk_test_…"
_TEST_KEY = re.compile(r"(sk|rk)_test_[A-Za-z0-9_]{1,250}")


def require_key(authorization: str | None) -> None:
    """Refuse a request without a key for test mode; the refusal does not repeat what was sent."""
    if not authorization:
        message = f"You did not provide an API key. Send 'Authorization: Bearer KEY', with {KEY_FORMS}."
        raise UnauthorizedError(message)
    scheme, _, credentials = authorization.partition(" ")
    key = credentials.strip()
    if scheme.lower() == "basic":
        key = _user(key)
    if re.match(r"(sk|rk)_live_", key):
        message = f"flux-sandbox takes no live keys: they belong to Stripe alone. Use {KEY_FORMS}."
        raise UnauthorizedError(message)
    if not _TEST_KEY.fullmatch(key):
        raise UnauthorizedError(f"Invalid API Key provided. flux-sandbox takes any of the form {KEY_FORMS}.")


def _user(credentials: str) -> str:
    """Return the user of Basic credentials, whose password Stripe leaves empty."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except ValueError:  # not base64, or not UTF-8
        return ""
