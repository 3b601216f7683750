"""What applying a catalog document does, as values that are shown to whoever is asked to agree."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flux_server.catalog.document import CatalogDocument

__all__ = ["Change", "Difference", "FieldChange", "LeftOut", "Proposal", "concerns_subscribers"]


class FieldChange(msgspec.Struct, frozen=True):
    """One field of what changes: how the document writes it before and after, null where it is not there."""

    at: Annotated[tuple[str, ...], Meta(description="The keys that lead to it within what changes.")]
    before: Any
    after: Any


class Change(msgspec.Struct, frozen=True):
    """One thing that applying the document does."""

    action: Literal["add", "change", "archive", "restore", "publish"]
    of: Literal["metric", "feature", "plan", "default_plan", "policy"]
    key: Annotated[str, Meta(description="Empty for the default plan and the policy, of which there is one.")]
    fields: tuple[FieldChange, ...] = ()
    version: Annotated[int | None, Meta(description="Of a plan that is published: the new version.")] = None
    organizations: Annotated[
        int | None, Meta(description="Of a plan that there is: how many organizations subscribe to it.")
    ] = None
    is_default: Annotated[
        bool, Meta(description="Whether organizations without a base plan get the published version.")
    ] = False
    replaces_draft: Annotated[
        bool, Meta(description="Whether another draft of the plan is lost by publishing this.")
    ] = False


class Difference(msgspec.Struct, frozen=True):
    """What has to change for a document to be what is live, in its order; and the entity tag of what is live."""

    etag: str
    changes: tuple[Change, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """Something that a proposal could not take, or not in full, and why."""

    object: Annotated[str, Meta(description="Its id where it was found.")]
    name: str
    reason: str


class Proposal(msgspec.Struct, frozen=True):
    """A document with what was found elsewhere added to it, to be reviewed, compared and applied."""

    document: CatalogDocument
    left_out: tuple[LeftOut, ...]


def concerns_subscribers(change: Change) -> bool:
    """Say whether those who have the plan may be asked to migrate: it gets a version, or another plan its price."""
    lost = any(field.at[0] == "prices" and field.after is None for field in change.fields)
    return bool(change.organizations) and (change.action == "publish" or lost)
