"""The contract's routes as Starlette and FastAPI applications, with and without `async`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI
from fastapi import Request as FastAPIRequest
from fastapi.responses import PlainTextResponse as FastAPIText
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from flux_asgi import FluxMiddleware, Meters, RequiresEntitlement, meters, requires_entitlement
from tests.integrations.contract import ORGANIZATION_HEADER, Order, Reply

_HEADER = ORGANIZATION_HEADER.lower().encode()


def organization_of(scope: Scope) -> str | None:
    """Find the organization in the raw headers."""
    for name, value in scope["headers"]:
        if name == _HEADER:
            return str(value, "latin-1")
    return None


class ASGISite:
    """An ASGI application, called in this process; each batch of requests has an event loop of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.raises = False

    def send(self, orders: Sequence[Order]) -> list[Reply]:
        return asyncio.run(self._send(orders))

    async def _send(self, orders: Sequence[Order]) -> list[Reply]:
        raises = self.raises or any(order.path == "/stream-fails" for order in orders)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return await asyncio.gather(*(self._one(client, order) for order in orders))

    async def _one(self, client: httpx.AsyncClient, order: Order) -> Reply:
        response = await client.request(order.method, order.path, headers=order.headers)
        return Reply(response.status_code, dict(response.headers), response.content)


def chunks(fail: bool) -> Iterator[bytes]:
    yield b"one"
    if fail:
        raise RuntimeError("view failed")
    yield b"two"
    yield b"three"


async def chunks_later(fail: bool) -> AsyncIterator[bytes]:
    for chunk in chunks(fail):
        yield chunk


def starlette_async(**options: Any) -> ASGISite:
    async def plain(request: Request) -> Response:
        return PlainTextResponse("plain")

    @requires_entitlement("sso")
    async def gated(request: Request) -> Response:
        return PlainTextResponse("gated")

    @meters("api-calls")
    async def metered(request: Request) -> Response:
        return PlainTextResponse("metered")

    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    async def both(request: Request) -> Response:
        return PlainTextResponse("both")

    @meters("api-calls")
    async def answers(request: Request) -> Response:
        return Response(status_code=request.path_params["status"])

    @meters("api-calls")
    async def raises(request: Request) -> Response:
        raise RuntimeError("view failed")

    @meters("api-calls")
    async def streams(request: Request) -> Response:
        return StreamingResponse(chunks_later(fail=False))

    @meters("api-calls")
    async def stream_fails(request: Request) -> Response:
        return StreamingResponse(chunks_later(fail=True))

    @requires_entitlement("sso")
    @meters("api-calls")
    async def whoami(request: Request) -> Response:
        await asyncio.sleep(0.01)
        return PlainTextResponse(organization_of(request.scope) or "")

    return _starlette(options, plain, gated, metered, both, answers, raises, streams, stream_fails, whoami)


def starlette_sync(**options: Any) -> ASGISite:
    def plain(request: Request) -> Response:
        return PlainTextResponse("plain")

    @requires_entitlement("sso")
    def gated(request: Request) -> Response:
        return PlainTextResponse("gated")

    @meters("api-calls")
    def metered(request: Request) -> Response:
        return PlainTextResponse("metered")

    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    def both(request: Request) -> Response:
        return PlainTextResponse("both")

    @meters("api-calls")
    def answers(request: Request) -> Response:
        return Response(status_code=request.path_params["status"])

    @meters("api-calls")
    def raises(request: Request) -> Response:
        raise RuntimeError("view failed")

    @meters("api-calls")
    def streams(request: Request) -> Response:
        return StreamingResponse(chunks(fail=False))

    @meters("api-calls")
    def stream_fails(request: Request) -> Response:
        return StreamingResponse(chunks(fail=True))

    @requires_entitlement("sso")
    @meters("api-calls")
    def whoami(request: Request) -> Response:
        time.sleep(0.001)
        return PlainTextResponse(organization_of(request.scope) or "")

    return _starlette(options, plain, gated, metered, both, answers, raises, streams, stream_fails, whoami)


def starlette_classes(**options: Any) -> ASGISite:
    """Methods of endpoint classes; what has no class in the contract is as in `starlette_async`."""

    class Plain(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("plain")

    class Gated(HTTPEndpoint):
        @requires_entitlement("sso")
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("gated")

    class Metered(HTTPEndpoint):
        @meters("api-calls")
        def get(self, request: Request) -> Response:
            return PlainTextResponse("metered")

    class Both(HTTPEndpoint):
        @meters("api-calls")
        @requires_entitlement("sso")
        @meters("api-calls")
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("both")

    class Answers(HTTPEndpoint):
        @meters("api-calls")
        async def get(self, request: Request) -> Response:
            return Response(status_code=request.path_params["status"])

    class Raises(HTTPEndpoint):
        @meters("api-calls")
        async def get(self, request: Request) -> Response:
            raise RuntimeError("view failed")

    class Streams(HTTPEndpoint):
        fail = False

        @meters("api-calls")
        async def get(self, request: Request) -> Response:
            return StreamingResponse(chunks_later(self.fail))

    class StreamFails(Streams):
        fail = True

    class Whoami(HTTPEndpoint):
        @requires_entitlement("sso")
        @meters("api-calls")
        async def get(self, request: Request) -> Response:
            await asyncio.sleep(0.01)
            return PlainTextResponse(organization_of(request.scope) or "")

    return _starlette(options, Plain, Gated, Metered, Both, Answers, Raises, Streams, StreamFails, Whoami)


def _starlette(options: dict[str, Any], *endpoints: Callable[..., Any]) -> ASGISite:
    options.setdefault("organization", organization_of)
    routes = [Route(path, endpoint) for path, endpoint in zip(_PATHS, endpoints, strict=True)]
    return ASGISite(Starlette(routes=routes, middleware=[Middleware(FluxMiddleware, **options)]))


_PATHS = (
    "/plain",
    "/gated",
    "/metered",
    "/both",
    "/answers/{status:int}",
    "/raises",
    "/streams",
    "/stream-fails",
    "/whoami",
)


def fastapi_async(**options: Any) -> ASGISite:
    app = FastAPI(default_response_class=FastAPIText)

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    @app.get("/gated")
    @requires_entitlement("sso")
    async def gated() -> str:
        return "gated"

    @app.get("/metered")
    @meters("api-calls")
    async def metered() -> str:
        return "metered"

    @app.get("/both")
    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    async def both() -> str:
        return "both"

    @app.get("/answers/{status}")
    @meters("api-calls")
    async def answers(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/raises")
    @meters("api-calls")
    async def raises() -> str:
        raise RuntimeError("view failed")

    @app.get("/streams", response_class=StreamingResponse)
    @meters("api-calls")
    async def streams() -> AsyncIterator[bytes]:
        async for chunk in chunks_later(fail=False):
            yield chunk

    @app.get("/stream-fails")
    @meters("api-calls")
    async def stream_fails() -> StreamingResponse:
        return StreamingResponse(chunks_later(fail=True))

    @app.get("/whoami")
    @requires_entitlement("sso")
    @meters("api-calls")
    async def whoami(request: FastAPIRequest) -> str:
        await asyncio.sleep(0.01)
        return organization_of(request.scope) or ""

    return _fastapi(app, options)


def fastapi_sync(**options: Any) -> ASGISite:
    app = FastAPI(default_response_class=FastAPIText)

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @app.get("/gated")
    @requires_entitlement("sso")
    def gated() -> str:
        return "gated"

    @app.get("/metered")
    @meters("api-calls")
    def metered() -> str:
        return "metered"

    @app.get("/both")
    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    def both() -> str:
        return "both"

    @app.get("/answers/{status}")
    @meters("api-calls")
    def answers(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/raises")
    @meters("api-calls")
    def raises() -> str:
        raise RuntimeError("view failed")

    @app.get("/streams", response_class=StreamingResponse)
    @meters("api-calls")
    def streams() -> Iterator[bytes]:
        yield from chunks(fail=False)

    @app.get("/stream-fails")
    @meters("api-calls")
    def stream_fails() -> StreamingResponse:
        return StreamingResponse(chunks(fail=True))

    @app.get("/whoami")
    @requires_entitlement("sso")
    @meters("api-calls")
    def whoami(request: FastAPIRequest) -> str:
        time.sleep(0.001)
        return organization_of(request.scope) or ""

    return _fastapi(app, options)


def fastapi_dependencies(**options: Any) -> ASGISite:
    app = FastAPI(default_response_class=FastAPIText)
    sso, calls = Depends(RequiresEntitlement("sso")), Depends(Meters("api-calls"))

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    @app.get("/gated", dependencies=[sso])
    async def gated() -> str:
        return "gated"

    @app.get("/metered", dependencies=[calls])
    def metered() -> str:
        return "metered"

    @app.get("/both", dependencies=[calls, sso])
    async def both(calls: Annotated[None, Depends(Meters("api-calls"))]) -> str:
        return "both"

    @app.get("/answers/{status}", dependencies=[calls])
    async def answers(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/raises", dependencies=[calls])
    async def raises() -> str:
        raise RuntimeError("view failed")

    @app.get("/streams", dependencies=[calls], response_class=StreamingResponse)
    async def streams() -> AsyncIterator[bytes]:
        async for chunk in chunks_later(fail=False):
            yield chunk

    @app.get("/stream-fails", dependencies=[calls])
    async def stream_fails() -> StreamingResponse:
        return StreamingResponse(chunks_later(fail=True))

    @app.get("/whoami", dependencies=[sso, calls])
    async def whoami(request: FastAPIRequest) -> str:
        await asyncio.sleep(0.01)
        return organization_of(request.scope) or ""

    return _fastapi(app, options)


def _fastapi(app: FastAPI, options: dict[str, Any]) -> ASGISite:
    options.setdefault("organization", organization_of)
    app.add_middleware(FluxMiddleware, **options)
    return ASGISite(app)
