"""POST /v1/usage: totals from journals, and the environment that a key belongs to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from flux_middleware.snapshot import UsageBatch, decode, encode
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.operations import MonitoringOf
from flux_server.api.problems import problem_responses
from flux_server.usage.ingest import MAX_SLOTS, ingest

__all__ = ["router"]

router = APIRouter(tags=["sdk"])

_JSON = "application/json"
_SLOT = {
    "type": "object",
    "description": "A slot that cannot be kept is named in the answer, and leaves the others alone.",
    "properties": {
        "organization": {"type": "string"},
        "metric": {"type": "string"},
        "bucket": {"type": "integer", "description": "The bucket's first second since 1970."},
        "total": {
            "type": "integer",
            "description": "What the source has counted in the bucket so far; not negative.",
        },
    },
    "required": ["organization", "metric", "bucket", "total"],
}
_BATCH = {
    "type": "object",
    "description": "The totals of one source: a journal of a process.",
    "properties": {
        "source": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,32}$"},
        "slots": {"type": "array", "items": _SLOT, "maxItems": MAX_SLOTS},
    },
    "required": ["source", "slots"],
}


@router.post(
    "/v1/usage",
    response_class=Response,
    responses={
        200: {"description": "What was kept, and usage so far.", "content": {_JSON: {}}},
        **problem_responses(401, 403, 413, 422),
    },
    openapi_extra={"requestBody": {"content": {_JSON: {"schema": _BATCH}}, "required": True}},
)
async def send_usage(
    request: Request,
    database: DatabaseOf,
    clock: Clock,
    monitoring: MonitoringOf,
    caller: Annotated[Caller, Depends(requires_scope("sdk"))],
) -> Response:
    """Keep a source's totals. Sending them again, or in another order, changes nothing."""
    batch = decode(await request.body(), UsageBatch)
    async with database.write() as connection:
        receipt = await ingest(connection, caller.environment, batch, clock())
    monitoring.slots.labels(caller.environment).inc(receipt.accepted)
    return Response(encode(receipt), media_type=_JSON)
