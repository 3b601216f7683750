"""The API's description, as OpenAPI: FastAPI's, with the problems that this server really answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from flux_server.api.catalog_document import catalog_document_schemas
from flux_server.api.problems import PROBLEM_SCHEMA, problem_content

__all__ = ["describe"]

_NEVER_ANSWERED = ("HTTPValidationError", "ValidationError")  # FastAPI's own form of a 422


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application's routes."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document["components"]["schemas"]
        for name in _NEVER_ANSWERED:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM_SCHEMA
        schemas |= catalog_document_schemas()
        for path in document["paths"].values():
            for operation in path.values():
                _describe_problems(operation["responses"])
        app.openapi_schema = document
    return app.openapi_schema


def _describe_problems(responses: dict[str, Any]) -> None:
    if "422" in responses:
        responses["422"]["content"] = problem_content()
    responses["default"] = {"description": "Any other problem.", "content": problem_content()}
