"""Problems (RFC 9457): the one place where errors become responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError
from flux_server.errors import BodyTooLargeError, RequestError

__all__ = [
    "OTHER_PROBLEMS",
    "PROBLEM_SCHEMA",
    "FailedRequests",
    "install_problem_handlers",
    "problem_content",
    "problem_response",
    "problem_responses",
    "problem_type",
]

_MEDIA_TYPE = "application/problem+json"
_SHOWN_ERRORS = 20
_SHOWN_NAME = 64
_log = structlog.get_logger("flux.api")

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457). `code` is stable, `detail` says what to do; some have members of their own.",
    "type": "object",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "`urn:flux:problem:` and the code.",
            "examples": ["urn:flux:problem:scope-missing"],
        },
        "title": {"type": "string", "description": "What kind of refusal it is, for people."},
        "status": {"type": "integer", "description": "The response's status."},
        "detail": {"type": "string", "description": "What is wrong here, and what to do."},
        "code": {
            "type": "string",
            "description": "What kind of refusal it is, for programs.",
            "examples": ["scope_missing"],
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
    "additionalProperties": True,
}


OTHER_PROBLEMS: Final[dict[int, tuple[str, str, str]]] = {
    400: (
        "bad_request",
        "Bad request",
        "The body cannot be read; send JSON as /v1/openapi.json describes it.",
    ),
    404: (
        "not_found",
        "Not found",
        "There is nothing at this address; /v1/openapi.json lists what there is.",
    ),
    405: (
        "method_not_allowed",
        "Method not allowed",
        "This address does not answer {method}; the Allow header says what it answers.",
    ),
    500: ("internal_error", "Internal error", "The server failed; its log says why. Try again later."),
}
"""Code, title and detail of what is refused before a route, or fails in one, by status."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe, for OpenAPI, that a route may answer with problems of these statuses."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": problem_content()}
        for status in statuses
    }


def problem_content() -> dict[str, Any]:
    """Describe, for OpenAPI, the body of a problem."""
    return {_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problem_type(code: str) -> str:
    """Return the URI that identifies the problems of this code."""
    return f"urn:flux:problem:{code.replace('_', '-')}"


def problem_response(error: RequestError) -> Response:
    """Return the response that says why the request was refused."""
    return _problem(error.status, error.code, error.title, error.detail, error.members, error.headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every refusal with a problem, whoever raised it; `FailedRequests` answers what is left."""
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(InvalidOrganizationError, _on_invalid_value)
    app.add_exception_handler(InvalidRecordError, _on_invalid_value)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return problem_response(error)


async def _on_invalid_value(_: Request, error: Exception) -> Response:
    return _problem(422, "invalid_request", "Invalid request", str(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found[0]["loc"] == ("body",) and not _is_json(request.headers.get("Content-Type", "")):
        detail = "the body is JSON; send it with the header `Content-Type: application/json`"
        return _problem(422, "invalid_request", "Invalid request", detail)
    # Without `input`: what was sent may hold a secret.
    errors = [
        {"at": [str(part)[:_SHOWN_NAME] for part in one["loc"]], "detail": one["msg"]}
        for one in found[:_SHOWN_ERRORS]
    ]
    detail = "; ".join(f"{'.'.join(one['at'])}: {one['detail']}" for one in errors)
    if len(found) > _SHOWN_ERRORS:
        detail += f"; and {len(found) - _SHOWN_ERRORS} more"
    return _problem(422, "invalid_request", "Invalid request", detail, {"errors": errors})


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == BodyTooLargeError.status:
        refusal = BodyTooLargeError(error.detail)
        return _problem(refusal.status, refusal.code, refusal.title, refusal.detail, headers=headers)
    if error.status_code == 405:
        headers |= _allowed(request)
    phrase = HTTPStatus(error.status_code).phrase
    unforeseen = (phrase.lower().replace(" ", "_"), phrase, error.detail)
    code, title, detail = OTHER_PROBLEMS.get(error.status_code, unforeseen)
    return _problem(error.status_code, code, title, detail.format(method=request.method), headers=headers)


def _allowed(request: Request) -> dict[str, str]:
    """Say what the address answers: FastAPI names the methods of one of its routes only."""
    route = getattr(request.scope.get("route"), "path", None)
    methods = request.app.openapi()["paths"].get(route)
    return {"Allow": ", ".join(sorted(method.upper() for method in methods))} if methods else {}


class FailedRequests:
    """Answer a request that failed with a problem, and log it once; the connection goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception as error:
            if started:
                raise  # uvicorn logs it and cuts the answer off, so nobody takes it for whole
            route = getattr(scope.get("route"), "path", None)
            _log.error("request failed", method=scope["method"], route=route, exc_info=error)
            await _problem(500, *OTHER_PROBLEMS[500])(scope, receive, send)


def _problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {
        "type": problem_type(code),
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
