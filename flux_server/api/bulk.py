"""Import and export of organizations over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.problems import problem_responses
from flux_server.bulk.exporting import export_pieces
from flux_server.bulk.files import MEDIA_TYPES, Format
from flux_server.bulk.importing import import_chunk, parse_chunk
from flux_server.database import Database
from flux_server.errors import RequestError
from flux_server.streaming import PiecewiseResponse

__all__ = ["router"]

router = APIRouter(tags=["organizations"], responses=problem_responses(401, 403))

_FORMATS: Final = {media_type: name for name, media_type in MEDIA_TYPES.items()}


class UnsupportedFormatError(RequestError):
    """The body is in no format that is read here."""

    status = 415
    code = "unsupported_format"
    title = "Unsupported format"


class RefusalAnswer(BaseModel):
    """Why a row was not done: its number, the field that is wrong, and what to do.

    The number is that of a spreadsheet, where the header is row 1, or of the line of NDJSON.
    """

    model_config = ConfigDict(from_attributes=True)

    row: int
    field: str
    detail: str


class ImportAnswer(BaseModel):
    """How many rows did what; on a dry run, would have done."""

    model_config = ConfigDict(from_attributes=True)

    created: int
    changed: int
    unchanged: int
    refused: int
    errors: list[RefusalAnswer]


_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "At most 1,000 rows and 4 MiB, as docs/organizations.md describes them.",
        "content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()},
    }
}


@router.post("/v1/import/organizations", responses=problem_responses(413, 415, 422), openapi_extra=_BODIES)
async def import_organizations(
    request: Request,
    database: DatabaseOf,
    clock: Clock,
    caller: Annotated[Caller, Depends(requires_scope("admin"))],
    dry_run: Annotated[bool, Query(description="Only say what would be done.")] = False,
) -> ImportAnswer:
    """Make and change organizations by a chunk of a file: rows that fit are done, and the others are named."""
    chunk = parse_chunk(await request.body(), _format(request.headers.get("Content-Type", "")))
    transaction = database.read() if dry_run else database.write(caller.actor)
    async with transaction as connection:
        done = await import_chunk(
            connection, caller.environment, chunk, author=caller.name, dry_run=dry_run, now=clock()
        )
    return ImportAnswer.model_validate(done)


@router.get(
    "/v1/export/organizations",
    response_class=Response,
    responses={
        200: {
            "description": "All organizations, in a form that can be imported.",
            "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        },
        **problem_responses(422),
    },
)
async def export_organizations(
    request: Request,
    database: DatabaseOf,
    clock: Clock,
    caller: Annotated[Caller, Depends(requires_scope("read"))],
    format_: Annotated[Format, Query(alias="format", description="Of the file.")] = "ndjson",
) -> Response:
    """Return every organization with its customers and the overrides that are not over."""
    # As a snapshot, it holds a transaction for as long as its reader takes.
    turn = cast("asyncio.Semaphore", request.app.state.snapshot_turns)
    return PiecewiseResponse(
        _pieces(database, caller.environment, format_, clock(), turn),
        media_type=f"{MEDIA_TYPES[format_]}; charset=utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="organizations.{format_}"',
        },
    )


async def _pieces(
    database: Database, environment: str, format_: Format, now: float, turn: asyncio.Semaphore
) -> AsyncGenerator[bytes]:
    async with turn, database.read() as connection:
        async for piece in export_pieces(connection, environment, format_, now):
            yield piece


def _format(content_type: str) -> Format:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _FORMATS:
        known = " or ".join(_FORMATS)
        raise UnsupportedFormatError(f"send the header `Content-Type: {known}`, whichever the file is")
    return _FORMATS[media_type]
