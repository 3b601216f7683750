"""Secrets that links and cookies carry: 256 random bits, of which only the hash is stored."""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["digest", "new_token"]


def new_token() -> str:
    """Return a token nobody can guess, made of characters that fit into addresses and cookies."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what is stored of the token. It has 256 bits of its own, so it needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
