"""GET /v1/snapshot: everything an environment's followers need, as of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response

from flux_middleware.snapshot import SCHEMA, SnapshotEnd, SnapshotHeader, encode
from flux_server.api.dependencies import Caller, DatabaseOf, requires_scope
from flux_server.api.problems import problem_responses
from flux_server.catalog.reading import read_catalog
from flux_server.database import Database
from flux_server.environments.environments import read_environment
from flux_server.environments.revisions import current_revision
from flux_server.organizations.records import read_record_page
from flux_server.streaming import PiecewiseResponse, compressed

__all__ = ["router"]

router = APIRouter(tags=["sdk"])

_MEDIA_TYPE = "application/x-ndjson"
_PAGE = 500


@router.get(
    "/v1/snapshot",
    response_class=Response,
    responses={
        200: {
            "description": "A header line, a line an organization, an end line; cut short without the last.",
            "content": {_MEDIA_TYPE: {}},
        },
        **problem_responses(401, 403),
    },
)
async def read_snapshot(
    request: Request,
    database: DatabaseOf,
    caller: Annotated[Caller, Depends(requires_scope("sdk"))],
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """Return the catalog and every organization's record as of one moment."""
    # Each snapshot holds a transaction for as long as its reader takes; others must still get one.
    turn = cast("asyncio.Semaphore", request.app.state.snapshot_turns)
    pieces = _lines(database, caller.environment, turn)
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    if _accepts_gzip(accept_encoding):
        pieces, headers["Content-Encoding"] = compressed(pieces), "gzip"
    return PiecewiseResponse(pieces, media_type=_MEDIA_TYPE, headers=headers)


async def _lines(database: Database, environment: str, turn: asyncio.Semaphore) -> AsyncGenerator[bytes]:
    async with turn, database.read() as connection:
        header = SnapshotHeader(
            schema=SCHEMA,
            environment=environment,
            instance=(await read_environment(connection, environment)).instance,
            revision=await current_revision(connection, environment),
            catalog=await read_catalog(connection, environment),
        )
        yield encode(header) + b"\n"
        after, organizations = "", 0
        while True:
            after, records = await read_record_page(connection, environment, after=after, limit=_PAGE)
            if not records:
                break
            organizations += len(records)
            yield b"\n".join(records) + b"\n"
    yield encode(SnapshotEnd(organizations)) + b"\n"


def _accepts_gzip(accept_encoding: str) -> bool:
    for offer in accept_encoding.lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
