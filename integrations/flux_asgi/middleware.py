"""Binds each HTTP request to the gate, and counts it when its response is complete."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import flux_middleware
from flux_middleware.decorators import require_gated
from flux_middleware.errors import ConfigurationError, EntitlementRequired
from flux_middleware.gate import Client, Denial, Gate, GatedRequest, OnDenied, OrganizationResolver

__all__ = ["DenialResponse", "FluxMiddleware", "current_request"]

_WITHOUT_BODY: Final = frozenset({204, 205, 304})
"""Statuses whose response ends with its headers (RFC 9110)."""

_current: ContextVar[GatedRequest] = ContextVar("flux_request")


def current_request() -> GatedRequest:
    """Return the request being served here.

    Raises:
        ConfigurationError: none is, or the application lacks the middleware.
    """
    try:
        return _current.get()
    except LookupError:
        raise ConfigurationError(
            "a gated or metered function was called outside of an HTTP request that FluxMiddleware has seen; add "
            "`app.add_middleware(FluxMiddleware, organization=...)` to the application (from flux_asgi)"
        ) from None


class FluxMiddleware:
    """Gate and meter the decorated routes of an ASGI application.

    `organization` is called with the scope, at most once a request, and returns the id of the organization whose
    plan counts, or `None`; it may be asynchronous. `client` is the one `flux.init()` made unless given.
    `on_denied` is called with the scope and a `Denial` and returns a response, or `None` for the usual one.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        organization: OrganizationResolver,
        client: Client | None = None,
        on_denied: OnDenied | None = None,
    ) -> None:
        billing = flux_middleware.billing if client is None else client.billing
        self._app = app
        self._gate = Gate(billing, organization, on_denied)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = GatedRequest(self._gate, scope, scope["method"])
        status = 0

        async def forward(message: Message) -> None:
            nonlocal status
            kind = message["type"]
            if kind == "http.response.start":
                require_gated(scope.get("endpoint"))
                status = message["status"]
                if status in _WITHOUT_BODY:  # the client has the whole answer already
                    request.commit(status)
            elif kind == "http.response.body":
                # Before it is sent, so that whoever reads the answer can read the count.
                if not message.get("more_body"):
                    request.commit(status)
            elif kind == "http.response.pathsend":
                request.commit(status)
            await send(message)

        token = _current.set(request)
        try:
            await self._app(scope, receive, forward)
            if status and not request.ended:  # a client that left cut the body short; the work was done
                request.commit(status)
        except EntitlementRequired:
            if status or request.denial is None:
                raise
            response = request.answer(request.denial, DenialResponse)
            await (await response if inspect.isawaitable(response) else response)(scope, receive, send)
        finally:
            request.ended = True
            _current.reset(token)


class DenialResponse(Response):
    """A denial's prepared bytes; nothing is rendered or encoded per request."""

    def __init__(self, denial: Denial) -> None:
        self.status_code = denial.status
        self.background = None
        self.body = denial.body
        self.raw_headers = list(denial.headers)
