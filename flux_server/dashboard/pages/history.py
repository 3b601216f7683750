"""The history: who changed what, when, and from what to what, in an environment and of one organization."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from flux_middleware.snapshot import require_organization
from flux_server.dashboard.history_words import KIND_WORDS, events_of
from flux_server.dashboard.visits import EnvironmentsVisit
from flux_server.environments.history import Kind, read_history
from flux_server.organizations.organizations import read_organization

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_PAGE = 50
_OF_ORGANIZATIONS: Final[tuple[Kind, ...]] = ("organization", "record", "customers")
_SHOWN: Final[dict[str, tuple[str, tuple[Kind, ...]]]] = {
    "": ("The catalog and its settings", ("feature", "metric", "plan", "settings")),
    "plan": ("Plans", ("plan",)),
    "feature": ("Features", ("feature",)),
    "metric": ("Metrics", ("metric",)),
    "settings": ("Default plan and status policy", ("settings",)),
    "organizations": ("Organizations", _OF_ORGANIZATIONS),
}


@router.get("/{environment}/history")
async def show_history(visit: EnvironmentsVisit) -> Response:
    """List what was changed in the environment, or of one `subject`, newest first, a page at a time."""
    kind, subject = visit.query("kind"), visit.query("subject")
    _, kinds = _SHOWN.get(kind, _SHOWN[""])
    before = _before(visit.query("before"))
    async with visit.read() as connection:
        found = await read_history(
            connection, visit.key, kinds=kinds, subject=subject or None, before=before, limit=_PAGE + 1
        )
    return visit.page(
        "history.html",
        section="history",
        before=before,
        events=events_of(found[:_PAGE]),
        kind=kind if kind in _SHOWN else "",
        kind_words=KIND_WORDS,
        kinds=[(each, words) for each, (words, _) in _SHOWN.items()],
        next=found[_PAGE - 1].id if len(found) > _PAGE else None,
        subject=subject,
    )


@router.get("/{environment}/organization/history")
async def show_organization_history(visit: EnvironmentsVisit) -> Response:
    """List what was changed of the organization, newest first, a page at a time."""
    name = require_organization(visit.query("id"))
    before = _before(visit.query("before"))
    async with visit.read() as connection:
        organization = await read_organization(connection, visit.key, name)
        found = await read_history(
            connection, visit.key, kinds=_OF_ORGANIZATIONS, subject=name, before=before, limit=_PAGE + 1
        )
    return visit.page(
        "organization_history.html",
        section="organizations",
        before=before,
        events=events_of(found[:_PAGE]),
        kind_words=KIND_WORDS,
        next=found[_PAGE - 1].id if len(found) > _PAGE else None,
        organization=organization,
    )


def _before(typed: str) -> int | None:
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 19 else None
