"""Why an edit of the catalog is refused."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flux_middleware.errors import InvalidRecordError
from flux_middleware.snapshot import require_key
from flux_server.errors import ConflictError, InvalidRequestError, PreconditionFailedError

__all__ = [
    "ArchivedError",
    "CatalogFullError",
    "CatalogMovedError",
    "InvalidCatalogError",
    "InvalidDocumentError",
    "InvalidPolicyError",
    "MalformedPlanError",
    "NothingToPublishError",
    "PriceTakenError",
    "Wrong",
    "key_error",
    "nearest",
    "place",
    "require_room",
]

_SHOWN_ERRORS = 20
_MOST_ERRORS = 1_000
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with a document, and the keys and positions that lead to it."""

    at: tuple[str | int, ...]
    detail: str


class InvalidCatalogError(InvalidRequestError):
    """A feature or a metric contradicts itself or the catalog."""

    code = "invalid_catalog"
    title = "Invalid catalog"


class MalformedPlanError(InvalidRequestError):
    """A plan contradicts itself or the catalog; `errors` lists everything that is wrong with it."""

    code = "malformed_plan"
    title = "Malformed plan"


class InvalidPolicyError(InvalidRequestError):
    """A status policy cannot be followed; `errors` lists everything that is wrong with it."""

    code = "invalid_policy"
    title = "Invalid policy"


class InvalidDocumentError(InvalidRequestError):
    """A catalog document cannot be applied; `errors` lists everything that is wrong with it, by place."""

    code = "invalid_catalog_document"
    title = "Invalid catalog document"

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        shown = [f"{place(one.at)}: {one.detail}" for one in wrong[:_SHOWN_ERRORS]]
        if len(wrong) > _SHOWN_ERRORS:
            shown.append(f"and {len(wrong) - _SHOWN_ERRORS:,} more")
        errors = [{"at": [str(step) for step in one.at], "detail": one.detail} for one in wrong]
        super().__init__("; ".join(shown), errors=errors[:_MOST_ERRORS])
        self.wrong = tuple(wrong)


class PriceTakenError(ConflictError):
    """A price belongs to one plan only."""

    code = "price_taken"
    title = "Price taken"


class NothingToPublishError(ConflictError):
    """The plan has no draft."""

    code = "nothing_to_publish"
    title = "Nothing to publish"


class ArchivedError(ConflictError):
    """It is archived; nothing new can be made with it."""

    code = "archived"
    title = "Archived"


class CatalogMovedError(PreconditionFailedError):
    """The catalog is not the one that the request was made for."""

    code = "catalog_moved"
    title = "Catalog moved"


class CatalogFullError(ConflictError):
    """The environment has as many of them as it can have."""

    code = "catalog_full"
    title = "Catalog full"


def key_error(key: str) -> str | None:
    """Say what is wrong with the key; None if nothing is."""
    try:
        require_key(key)
    except InvalidRecordError as error:
        return str(error)
    return None


def require_room(what: str, present: int, most: int) -> None:
    """Refuse one more where there are `most` already.

    Raises:
        CatalogFullError: there are.
    """
    if present >= most:
        raise CatalogFullError(
            f"an environment has at most {most:,} {what}, archived ones included; there is no room for another"
        )


def place(at: Sequence[str | int]) -> str:
    """Return where something is in a document, as TOML writes it: `plans.pro.entitlements."api.calls"`."""
    steps = (str(step) if _BARE_KEY.match(str(step)) else json.dumps(step) for step in at)
    return ".".join(steps) or "the document"


def nearest(name: object, known: Iterable[object]) -> str:
    """Return "; did you mean …?" if one of the known names is like this one, an empty text otherwise."""
    found = difflib.get_close_matches(str(name), [str(one) for one in known], n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
