"""What happens to every request before its route sees it: its path, the size of its body, its count."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_server.api.monitoring import Monitoring

__all__ = ["MAX_BODY", "MAX_DOCUMENT", "BodyLimit", "CountedRequests", "EncodedOrganizations"]

MAX_BODY = 4 * 1024 * 1024
"""Bytes that a request's body may have."""

MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes of a whole catalog: 10,000 features, and 1,000 plans that grant a thousand of them each."""

# Routes that read so much themselves, once they know who is calling.
_MOST_BY_PATH = {"/v1/catalog": MAX_DOCUMENT, "/v1/catalog/diff": MAX_DOCUMENT}

_METHODS = frozenset(
    {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
)  # callers can invent others


class EncodedOrganizations:
    """Match organizations' addresses as they were sent: an id may hold `/`, which must not separate anything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["path"].startswith("/v1/organizations/")
            and scope.get("raw_path")
        ):
            scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await self.app(scope, receive, send)


class BodyLimit:
    """Refuse bodies that are too large to be meant for this server, before they fill its memory."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = _MOST_BY_PATH.get(scope["path"], MAX_BODY)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most or (announced.isdigit() and int(announced) > most):
                raise HTTPException(
                    413, f"a body has at most {most} bytes; send less at once", {"Connection": "close"}
                )
            return message

        await self.app(scope, limited, send)


class CountedRequests:
    """Count answered requests by method, route and status."""

    def __init__(self, app: ASGIApp, monitoring: Monitoring) -> None:
        self.app = app
        self.monitoring = monitoring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The route's template, never the path: paths carry tokens and organizations' ids.
                route = getattr(scope.get("route"), "path", "")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self.monitoring.requests.labels(method, route, message["status"]).inc()
            await send(message)

        await self.app(scope, receive, counted)
