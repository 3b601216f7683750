"""Why an edit of the catalog is refused."""

from __future__ import annotations

from flux_middleware.errors import InvalidRecordError
from flux_middleware.snapshot import require_key
from flux_server.errors import ConflictError, InvalidRequestError

__all__ = [
    "ArchivedError",
    "CatalogFullError",
    "InvalidCatalogError",
    "InvalidPolicyError",
    "MalformedPlanError",
    "NothingToPublishError",
    "PriceTakenError",
    "key_error",
    "require_room",
]


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
