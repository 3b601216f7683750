"""The history over HTTP: who changed what, when, and from what to what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.api.dependencies import Caller, DatabaseOf, OrganizationId, requires_scope
from flux_server.api.pages import Cursor, Limit, cut, read_cursor
from flux_server.api.problems import problem_responses
from flux_server.environments.field_changes import field_changes
from flux_server.environments.history import Entry, Kind, read_history
from flux_server.errors import InvalidRequestError
from flux_server.organizations.organizations import read_organization

__all__ = ["router"]

router = APIRouter(tags=["history"], responses=problem_responses(401, 403, 422))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Kinds = Annotated[
    list[Kind], Query(default_factory=list, description="Only of these; can be given several times.")
]

_OF_ORGANIZATIONS: tuple[Kind, ...] = ("organization", "record", "customers")


class FieldChangeAnswer(BaseModel):
    """A field that was `before` and is `after`; null where it was not, or is not, there."""

    model_config = ConfigDict(from_attributes=True)

    path: str
    before: bool | int | float | str | None
    after: bool | int | float | str | None


class EntryAnswer(BaseModel):
    """A change: when, by whom, of what, from what to what."""

    at: int
    actor: str
    kind: Kind
    subject: str
    changes: list[FieldChangeAnswer]


class HistoryAnswer(BaseModel):
    """A page of changes, newest first; `next_cursor` asks for the one after it."""

    entries: list[EntryAnswer]
    next_cursor: str | None


@router.get("/v1/history")
async def read_all_history(
    database: DatabaseOf, caller: Reader, kind: Kinds, cursor: Cursor = "", limit: Limit = 50
) -> HistoryAnswer:
    """List what was changed in the environment, newest first."""
    async with database.read() as connection:
        return await _page(connection, caller.environment, kind or get_args(Kind), None, cursor, limit)


@router.get("/v1/organizations/{organization}/history", responses=problem_responses(404))
async def read_organization_history(
    organization: OrganizationId,
    database: DatabaseOf,
    caller: Reader,
    kind: Kinds,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> HistoryAnswer:
    """List what was changed of the organization, newest first."""
    kinds = [each for each in _OF_ORGANIZATIONS if not kind or each in kind]
    async with database.read() as connection:
        await read_organization(connection, caller.environment, organization)
        return await _page(connection, caller.environment, kinds, organization, cursor, limit)


async def _page(
    connection: AsyncConnection,
    environment: str,
    kinds: Iterable[Kind],
    subject: str | None,
    cursor: str,
    limit: int,
) -> HistoryAnswer:
    found = await read_history(
        connection, environment, kinds=kinds, subject=subject, before=_before(cursor), limit=limit + 1
    )
    page, next_cursor = cut(found, limit, lambda entry: str(entry.id))
    return HistoryAnswer(entries=[_entry(entry) for entry in page], next_cursor=next_cursor)


def _before(cursor: str) -> int | None:
    last = read_cursor(cursor)
    if last and not (last.isascii() and last.isdigit() and len(last) < 19):
        raise InvalidRequestError("query.cursor: this is of another list; leave it out at first")
    return int(last) if last else None


def _entry(entry: Entry) -> EntryAnswer:
    return EntryAnswer(
        at=entry.at,
        actor=entry.actor,
        kind=entry.kind,
        subject=entry.subject,
        changes=[
            FieldChangeAnswer.model_validate(change) for change in field_changes(entry.before, entry.after)
        ],
    )
