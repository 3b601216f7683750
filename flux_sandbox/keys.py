"""API keys: any of the right form for the account's mode is taken, and no other.

A key that nobody made here may do everything. A restricted key that was made here may do what its permissions say;
any key can be revoked. No key is ever shown but in the answer that makes one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flux_sandbox.errors import ForbiddenError, KeyExpiredError, UnauthorizedError
from flux_sandbox.permissions import check_permissions, permission_for
from flux_sandbox.profile import Profile

__all__ = ["Key", "Keys", "key_forms", "redact", "shown_key"]

_ANY_SECRET: Final = re.compile(r"((?:sk|rk|pk|mk)_(?:test|live)_|whsec_)([A-Za-z0-9_]+)")
_SHOWN: Final = 4


def key_forms(*, livemode: bool) -> str:
    """Return how the keys look that are taken."""
    mode = "live" if livemode else "test"
    return f"sk_{mode}_… or rk_{mode}_…"


def redact(text: str) -> str:
    """Return a text without the keys and secrets in it: of each, its kind and its end are left."""
    return _ANY_SECRET.sub(lambda found: f"{found[1]}****{found[2][_SHOWN:][-_SHOWN:]}", text)


def shown_key(authorization: str) -> str:
    """Return the kind and the end of the key that a request carries, or as little of what is no key."""
    found = _ANY_SECRET.match(_sent(authorization))
    return "****" if found is None else redact(found[0])


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and what it may do: everything, unless permissions were given."""

    text: str
    permissions: frozenset[str] | None = None
    shows_secrets: bool = True
    """Whether a webhook endpoint that it creates is answered with its signing secret."""

    def require(self, method: str, path: str, account: str) -> None:
        """Refuse a request that this key may not make, in Stripe's words."""
        needed = permission_for(method, path)
        if self.permissions is None or needed is None or needed in self.permissions:
            return
        if needed.removesuffix("_read") + "_write" in self.permissions:
            return
        message = (
            f"The provided key '{redact(self.text)}' does not have the required permissions for this endpoint on "
            f"account '{account}'. Having the '{needed}' permission would allow this request to continue."
        )
        raise ForbiddenError(message)


class Keys:
    """The account's keys."""

    def __init__(self, profile: Profile, token: Callable[[int], str]) -> None:
        self._profile = profile
        self._token = token
        self._made: dict[str, Key] = {}
        self._revoked: set[str] = set()
        mode, other = ("live", "test") if profile.livemode else ("test", "live")
        self._mode = mode
        self._taken = re.compile(rf"(sk|rk)_{mode}_[A-Za-z0-9_]{{1,250}}")
        self._of_the_other_mode = re.compile(rf"(sk|rk)_{other}_")

    def make(self, permissions: tuple[str, ...], *, shows_secrets: bool = True) -> Key:
        """Make a restricted key."""
        check_permissions(permissions)
        key = Key(f"rk_{self._mode}_{self._token(24)}", frozenset(permissions), shows_secrets)
        self._made[key.text] = key
        return key

    def revoke(self, key: str) -> None:
        """Have a key refused from now on, whoever made it."""
        if not self._taken.fullmatch(key):
            forms = key_forms(livemode=self._profile.livemode)
            raise ValueError(f"there is no such key; the sandbox takes keys of the form {forms}")
        self._revoked.add(key)

    def require(self, authorization: str | None) -> Key:
        """Return the key that a request carries, or refuse it; a refusal does not repeat what was sent."""
        forms = key_forms(livemode=self._profile.livemode)
        if not authorization:
            message = f"You did not provide an API key. Send 'Authorization: Bearer KEY', with {forms}."
            raise UnauthorizedError(message)
        key = _sent(authorization)
        if self._of_the_other_mode.match(key):
            raise UnauthorizedError(self._wrong_mode(forms))
        if not self._taken.fullmatch(key):
            raise UnauthorizedError(f"Invalid API Key provided. flux-sandbox takes any of the form {forms}.")
        if key in self._revoked:
            raise KeyExpiredError(redact(key))
        return self._made.get(key) or Key(key)

    def _wrong_mode(self, forms: str) -> str:
        if self._profile.livemode:
            return f"This flux-sandbox plays an account in live mode and takes no test keys. Use {forms}."
        return f"flux-sandbox takes no live keys: they belong to Stripe alone. Use {forms}."


def _sent(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    key = credentials.strip()
    return _user(key) if scheme.lower() == "basic" else key


def _user(credentials: str) -> str:
    """Return the user of Basic credentials, whose password Stripe leaves empty."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except ValueError:  # not base64, or not UTF-8
        return ""
