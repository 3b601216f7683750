"""Keys made of what others call a thing. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from itertools import count

from flux_server.catalog.errors import key_error

__all__ = ["slug", "unique_slug"]

_LONGEST = 64
_OTHERS = re.compile(r"[^a-z0-9.-]+")


def slug(name: str, otherwise: str = "") -> str:
    """Return a key for the name, always the same; what is a key stays. `otherwise` is for one without letters."""
    if key_error(name) is None:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    found = _OTHERS.sub("-", plain).strip("-.")[:_LONGEST].rstrip("-.")
    return found or (slug(otherwise) if otherwise else "")


def unique_slug(name: str, otherwise: str, taken: Container[str]) -> str:
    """Return a key for the name that is not taken: with a number, if need be."""
    plain = slug(name, otherwise) or "unnamed"
    numbered = (f"{plain[: _LONGEST - len(end)]}{end}" for end in (f"-{number}" for number in count(2)))
    return plain if plain not in taken else next(key for key in numbered if key not in taken)
