"""Passwords: argon2id, computed beside the event loop and a few at a time, because each takes 64 MiB."""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from flux_server.errors import InvalidRequestError

__all__ = ["MIN_PASSWORD", "Passwords", "WeakPasswordError"]

MIN_PASSWORD: Final = 12
"""Characters that a password has at least. Nothing else is asked of it: length is what counts."""

_AT_ONCE = 2


class WeakPasswordError(InvalidRequestError):
    """The password is too short."""

    code = "weak_password"
    title = "Weak password"


class Passwords:
    """Hashes and checks passwords. `hasher` says how costly that is; at first as RFC 9106 recommends."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobodys = _made_up(self._hasher)

    async def hash(self, password: str) -> str:
        """Return the password as it may be stored.

        Raises:
            WeakPasswordError: it is too short.
        """
        if len(password) < MIN_PASSWORD:
            raise WeakPasswordError(
                f"a password has at least {MIN_PASSWORD} characters; a few unrelated words make a good one"
            )
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, _normal(password))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Say whether the password is the stored one. Without a stored one it takes as long to say no."""
        async with self._turns:
            return await asyncio.to_thread(self._matches, _normal(password), stored or self._nobodys)

    def is_outdated(self, stored: str) -> bool:
        """Say whether the stored password was hashed at another cost than is asked for now."""
        return self._hasher.check_needs_rehash(stored)

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False


def _normal(password: str) -> str:
    """One keyboard sends `é` as one character, another as two."""
    return unicodedata.normalize("NFKC", password)


def _made_up(hasher: PasswordHasher) -> str:
    """Return what a stored password looks like, with a hash that is no password's."""
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19${cost}${salt}${digest}"
