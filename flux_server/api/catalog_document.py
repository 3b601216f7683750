"""The whole catalog as one document over HTTP: reading it, comparing one with what is live, applying one.

Documents are large, so they are read after the caller is known, and by msgspec.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.preconditions import IfMatch, read_tags
from flux_server.api.problems import problem_responses
from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.catalog.document_changes import Difference, Proposal
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.values import Existing
from flux_server.errors import InvalidRequestError
from flux_server.organizations.catalog_documents import (
    apply_document,
    compare_document,
    read_live_document,
)

__all__ = ["catalog_document_schemas", "document_content", "read_document_body", "router"]

router = APIRouter(tags=["catalog"], responses=problem_responses(401, 403))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]

_COMPONENT = "#/components/schemas/{name}"


def document_content(name: str) -> dict[str, Any]:
    """Return what OpenAPI says of a body that msgspec writes."""
    return {"content": {"application/json": {"schema": {"$ref": _COMPONENT.format(name=name)}}}}


_DOCUMENT = document_content("CatalogDocument")
_SENT = {"requestBody": {**_DOCUMENT, "required": True}}
_TAGGED = {"ETag": {"description": "Tags the content.", "schema": {"type": "string"}}}


@router.get(
    "/v1/catalog",
    response_class=Response,
    responses={200: {"description": "The document.", "headers": _TAGGED, **_DOCUMENT}},
)
async def read_catalog_document(database: DatabaseOf, caller: Reader) -> Response:
    """Return everything that is live as one document."""
    async with database.read() as connection:
        document, etag = await read_live_document(connection, caller.environment)
    return _tagged(document_json(document), etag)


@router.post(
    "/v1/catalog/diff",
    response_class=Response,
    openapi_extra=_SENT,
    responses={
        200: {"description": "The changes.", **document_content("Difference")},
        **problem_responses(413, 422),
    },
)
async def compare_catalog_document(request: Request, database: DatabaseOf, caller: Reader) -> Response:
    """Return what applying the document would change; nothing is written."""
    document = await read_document_body(request)
    async with database.read() as connection:
        difference = await compare_document(connection, caller.environment, document)
    return Response(_changes(difference), media_type="application/json")


@router.put(
    "/v1/catalog",
    response_class=Response,
    openapi_extra=_SENT,
    responses={
        200: {"description": "What changed.", "headers": _TAGGED, **document_content("Difference")},
        **problem_responses(412, 413, 422),
    },
)
async def put_catalog_document(
    request: Request,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
    existing: Annotated[
        Existing,
        Query(
            description="Where a version is published, or a price moves to another plan, whether subscribers keep what "
            "they have."
        ),
    ] = "stay",
    if_match: IfMatch = None,
) -> Response:
    """Make the document what is live, all of it or nothing; what it does not name is archived."""
    document = await read_document_body(request)
    async with database.write(caller.actor) as connection:
        difference = await apply_document(
            connection,
            caller.environment,
            document,
            existing=existing,
            now=clock(),
            only_if=_only_if(if_match),
        )
    return _tagged(_changes(difference), difference.etag)


def catalog_document_schemas() -> Mapping[str, Any]:
    """Return the schemas that these routes refer to, for OpenAPI."""
    _, schemas = msgspec.json.schema_components(
        [CatalogDocument, Difference, Proposal], ref_template=_COMPONENT
    )
    return schemas


async def read_document_body(request: Request) -> CatalogDocument:
    """Return the document that the request's body is.

    Raises:
        InvalidRequestError: it is none.
    """
    body = await request.body()
    return await asyncio.to_thread(_read, body)


def _read(body: bytes) -> CatalogDocument:
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequestError(
            f"the body is a catalog document as JSON; it cannot be read: {error}"
        ) from None
    return read_document(data)


def _only_if(if_match: str | None) -> frozenset[str] | None:
    tags = read_tags("If-Match", if_match)
    return None if tags is None or "*" in tags else tags  # there always is a catalog


def _changes(difference: Difference) -> bytes:
    return msgspec.json.encode(difference)


def _tagged(content: bytes, etag: str) -> Response:
    return Response(content, media_type="application/json", headers={"ETag": etag})
