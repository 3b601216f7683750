"""Errors as pages: what went wrong, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_middleware.errors import InvalidOrganizationError, InvalidRecordError
from flux_server.dashboard.rendering import address
from flux_server.dashboard.site import Site
from flux_server.dashboard.visits import SignInNeededError
from flux_server.errors import RequestError

__all__ = ["install_error_pages"]

_log = structlog.get_logger("flux.dashboard")

_NOTHING_HERE = "The address may be mistyped, or what was here may be gone."
_FAILED = (
    "The server failed, and its log says why. What you asked for was not done. Go back and try again; if it happens "
    "again, send the time below to whoever runs the server."
)


def install_error_pages(app: FastAPI) -> None:
    """Answer every error with a page, whoever raised it."""
    app.add_exception_handler(SignInNeededError, _on_sign_in_needed)
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(InvalidOrganizationError, _on_invalid_value)
    app.add_exception_handler(InvalidRecordError, _on_invalid_value)
    app.add_exception_handler(RequestValidationError, _on_invalid_value)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(FailedPages)


class FailedPages:
    """Answer a request that failed with a page, and log it once; the connection goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception as error:
            if started:
                raise  # uvicorn logs it and cuts the page off
            route = getattr(scope.get("route"), "path", None)
            _log.error("page failed", method=scope["method"], route=route, exc_info=error)
            page = _page(Request(scope), 500, "Something went wrong", _FAILED)
            await page(scope, receive, send)


async def _on_sign_in_needed(request: Request, _: Exception) -> Response:
    """Come back to the page afterwards, unless it was to change something: that is for the person to repeat."""
    wanted = request.url.path
    if request.url.query:
        wanted += f"?{request.url.query}"
    back = wanted if request.method == "GET" and wanted != "/" else ""
    return RedirectResponse(address("/sign-in", next=back), 303)


async def _on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    title = "Not found" if error.status == 404 and error.code == "not_found" else error.title
    return _page(request, error.status, title, error.detail, headers=error.headers)


async def _on_invalid_value(request: Request, _: Exception) -> Response:
    return _page(request, 404, "Not found", _NOTHING_HERE)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = _NOTHING_HERE if error.status_code == 404 else error.detail
    if error.status_code == 405:
        detail = "This address takes what a form sends; open the page that the form is on."
    return _page(request, error.status_code, phrase.capitalize(), detail, headers=error.headers)


def _page(
    request: Request, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None
) -> Response:
    site: Site = request.app.state.site
    context = {"detail": detail, "now": site.clock(), "status": status, "title": title}
    return HTMLResponse(site.templates.render("error.html", context), status, headers)
