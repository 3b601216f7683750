"""Problems (RFC 9457): the one place where errors become responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError
from flux_server.errors import RequestError

__all__ = ["PROBLEM_SCHEMA", "install_problem_handlers", "problem_response", "problem_responses"]

_MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger("flux.api")

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457). `code` is stable, `detail` says what to do.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "examples": ["urn:flux:problem:scope-missing"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["scope_missing"]},
    },
    "required": ["type", "title", "status", "detail", "code"],
    "additionalProperties": True,
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe, for OpenAPI, that a route may answer with problems of these statuses."""
    content = {_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_response(error: RequestError) -> Response:
    """Return the response that says why the request was refused."""
    return _problem(error.status, error.code, error.title, error.detail, error.members, error.headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the API with a problem, whoever raised it."""
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(InvalidOrganizationError, _on_invalid_value)
    app.add_exception_handler(InvalidRecordError, _on_invalid_value)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_anything_else)


async def _on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return problem_response(error)


async def _on_invalid_value(_: Request, error: Exception) -> Response:
    return _problem(422, "invalid_request", "Invalid request", str(error))


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Without `input`: what was sent may hold a secret.
    errors = [
        {"at": [str(part) for part in found["loc"]], "detail": found["msg"]} for found in error.errors()
    ]
    detail = "; ".join(f"{'.'.join(found['at'])}: {found['detail']}" for found in errors)
    return _problem(422, "invalid_request", "Invalid request", detail, {"errors": errors})


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    detail = error.detail if error.detail != phrase else _DETAILS.get(error.status_code, phrase)
    return _problem(
        error.status_code, code, phrase, detail.format(method=request.method), headers=error.headers or {}
    )


_DETAILS = {
    404: "There is nothing at this address; /v1/openapi.json lists what there is.",
    405: "This address does not answer {method}; the Allow header says what it answers.",
}


async def _on_anything_else(request: Request, error: Exception) -> Response:
    route = request.scope.get("route")
    _log.error("request failed", method=request.method, route=getattr(route, "path", None), exc_info=error)
    return _problem(
        500, "internal_error", "Internal error", "The server failed; its log says why. Try again later."
    )


def _problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {
        "type": f"urn:flux:problem:{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **(members or {}),
    }
    return Response(
        json.dumps(body, ensure_ascii=False),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        media_type=_MEDIA_TYPE,
    )
