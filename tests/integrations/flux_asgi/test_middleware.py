from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Host, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_asgi import Denial, EntitlementRequired, FluxMiddleware, meters, requires_entitlement
from flux_asgi import middleware as middleware_module
from flux_middleware.errors import ConfigurationError
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import ORGANIZATION_HEADER, assert_says_what_to_add, send
from tests.integrations.flux_asgi.sites import ASGISite, organization_of, starlette_async

ACME = {ORGANIZATION_HEADER.replace("-", "_"): "acme"}
GLOBEX = {ORGANIZATION_HEADER.replace("-", "_"): "globex"}


@pytest.fixture
def client() -> InMemoryFlux:
    client = InMemoryFlux()
    client.grant("acme", "sso")
    return client


@requires_entitlement("sso")
async def gated(request: Request) -> Response:
    return PlainTextResponse("gated")


@meters("api-calls")
async def metered(request: Request) -> Response:
    return PlainTextResponse("metered")


ROUTES = [Route("/gated", gated, methods=["GET", "POST"]), Route("/metered", metered)]


def flux(client: InMemoryFlux, **options: Any) -> Middleware:
    return Middleware(FluxMiddleware, organization=organization_of, client=client, **options)


async def call(app: ASGIApp, scope: Scope, *received: Message) -> list[Message]:
    """Call the application as a server would, and return what it sent."""
    messages, sent = iter(received), []

    async def receive() -> Message:
        return next(messages)

    async def keep(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, keep)
    return sent


def ask(app: ASGIApp, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Make one request; what the application raises comes out here."""

    async def scenario() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as http:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await http.request(method, path, headers=named)

    return asyncio.run(scenario())


def http_scope(**changes: Any) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(ORGANIZATION_HEADER.lower().encode(), b"acme")],
    } | changes


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "something-new"])
async def test_other_scopes_pass_through_untouched(client: InMemoryFlux, kind: str) -> None:
    seen: list[tuple[Any, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Message:
        return {"type": "nothing"}

    async def forward(message: Message) -> None:
        return None

    scope: Scope = {"type": kind}
    await FluxMiddleware(app, organization=organization_of, client=client)(scope, receive, forward)

    assert seen == [(scope, receive, forward)]
    assert scope == {"type": kind}


async def test_unknown_messages_are_forwarded_as_they_are(client: InMemoryFlux) -> None:
    messages: list[Message] = [
        {"type": "http.response.early_hint", "links": [b"</style.css>"]},
        {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.body", "body": b"b"},
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    sent = await call(FluxMiddleware(app, organization=organization_of, client=client), http_scope())

    assert all(got is given for got, given in zip(sent, messages, strict=True))


async def test_a_file_sent_by_the_server_counts_once(client: InMemoryFlux, tmp_path: Any) -> None:
    file = tmp_path / "report.txt"
    file.write_text("report")

    @meters("api-calls")
    async def report(request: Request) -> Response:
        return FileResponse(file)

    app = Starlette(routes=[Route("/", report)], middleware=[flux(client)])
    sent = await call(app, http_scope(extensions={"http.response.pathsend": {}}))

    assert sent[-1]["type"] == "http.response.pathsend"
    assert client.usage("acme", "api-calls") == 1


async def test_an_exception_propagates_unchanged(client: InMemoryFlux) -> None:
    error = RuntimeError("view failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    with pytest.raises(RuntimeError) as raised:
        await call(FluxMiddleware(app, organization=organization_of, client=client), http_scope())

    assert raised.value is error


@pytest.mark.parametrize(("status", "counted"), [(403, 0), (200, 1)])
def test_the_final_status_decides(client: InMemoryFlux, status: int, counted: int) -> None:
    class RestyledError(Exception):
        pass

    @meters("api-calls")
    async def view(request: Request) -> Response:
        raise RestyledError if status == 200 else HTTPException(status)

    async def handler(request: Request, error: Exception) -> Response:
        return PlainTextResponse("restyled")

    app = Starlette(
        routes=[Route("/", view)], middleware=[flux(client)], exception_handlers={RestyledError: handler}
    )

    assert send(ASGISite(app), "/", "acme").status == status
    assert client.usage("acme", "api-calls") == counted


async def test_a_client_that_leaves_in_the_middle_of_a_stream_is_counted(client: InMemoryFlux) -> None:
    @meters("api-calls")
    async def endpoint() -> None:
        return None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})

    await call(FluxMiddleware(app, organization=organization_of, client=client), http_scope())

    assert client.usage("acme", "api-calls") == 1


@pytest.mark.parametrize("path", ["/nowhere", "/redirected"])
def test_what_has_no_endpoint_is_nobodys_business(client: InMemoryFlux, path: str) -> None:
    routes = [Route("/redirected/", metered)]
    app = Starlette(routes=routes, middleware=[flux(client)])

    assert send(ASGISite(app), path, "acme").status in {404, 307}
    assert not client.recorded


def test_a_wrong_method_is_neither_gated_nor_counted(client: InMemoryFlux) -> None:
    app = Starlette(routes=ROUTES, middleware=[flux(client)])

    assert send(ASGISite(app), "/metered", "acme", "DELETE").status == 405
    assert send(ASGISite(app), "/gated", "globex", "DELETE").status == 405
    assert not client.recorded


@pytest.mark.parametrize("inner_has_it", [True, False])
@pytest.mark.parametrize("outer_has_it", [2, 1])
def test_installed_twice_it_counts_once(client: InMemoryFlux, outer_has_it: int, inner_has_it: bool) -> None:
    inner = Starlette(routes=ROUTES, middleware=[flux(client)] if inner_has_it else [])
    app = Starlette(routes=[Mount("/inner", inner)], middleware=[flux(client)] * outer_has_it)

    assert send(ASGISite(app), "/inner/metered", "acme").status == 200
    assert send(ASGISite(app), "/inner/gated", "globex").status == 403
    assert client.recorded == {("acme", "api-calls"): 1}


def test_a_mounted_applications_own_organization_counts(client: InMemoryFlux) -> None:
    middleware = Middleware(FluxMiddleware, organization=lambda scope: "globex", client=client)
    inner = Starlette(routes=ROUTES, middleware=[middleware])
    app = Starlette(routes=[Mount("/inner", inner)], middleware=[flux(client)])

    assert send(ASGISite(app), "/inner/gated", "acme").status == 403


@pytest.mark.parametrize("path", ["/direct", "/router/nested", "/fast/gated", "/star/gated"])
def test_routes_are_gated_however_they_are_reached(client: InMemoryFlux, path: str) -> None:
    @requires_entitlement("sso")
    @meters("api-calls")
    async def view() -> str:
        return "view"

    nested, router, mounted = APIRouter(), APIRouter(), FastAPI()
    nested.add_api_route("/nested", view)
    router.include_router(nested)
    mounted.add_api_route("/gated", view)
    app = FastAPI()
    app.add_api_route("/direct", view)
    app.include_router(router, prefix="/router")
    app.mount("/fast", mounted)
    app.mount("/star", Starlette(routes=[Host("site", Starlette(routes=ROUTES))]))
    app.add_middleware(FluxMiddleware, organization=organization_of, client=client)

    assert send(ASGISite(app), path, "acme").status == 200
    assert send(ASGISite(app), path, "globex").status == 403


def test_middleware_that_copies_the_context_changes_nothing(client: InMemoryFlux) -> None:
    class Copying(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    for order in ([flux(client), Middleware(Copying)], [Middleware(Copying), flux(client)]):
        site = ASGISite(Starlette(routes=ROUTES, middleware=order))
        assert [send(site, "/gated", name).status for name in ("acme", "globex")] == [200, 403]
        assert send(site, "/metered", "acme").status == 200

    assert client.usage("acme", "api-calls") == 2


@pytest.mark.parametrize("cors_outside", [True, False])
def test_a_preflight_is_answered_in_either_order(client: InMemoryFlux, cors_outside: bool) -> None:
    cors = Middleware(CORSMiddleware, allow_origins=["*"])
    order = [cors, flux(client)] if cors_outside else [flux(client), cors]
    app = Starlette(routes=ROUTES, middleware=order)
    origin = {"Origin": "https://app.example"}

    preflight = ask(app, "/gated", "OPTIONS", **origin, Access_Control_Request_Method="GET")
    denial = ask(app, "/gated", **origin, **GLOBEX)

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert denial.status_code == 403
    assert denial.headers["access-control-allow-origin"] == "*"


def test_counting_does_not_wait_for_background_tasks(client: InMemoryFlux) -> None:
    counted_before: list[int] = []

    @meters("api-calls")
    async def view(request: Request) -> Response:
        task = BackgroundTask(lambda: counted_before.append(client.usage("acme", "api-calls")))
        return PlainTextResponse("view", background=task)

    send(ASGISite(Starlette(routes=[Route("/", view)], middleware=[flux(client)])), "/", "acme")

    assert counted_before == [1]


@pytest.mark.parametrize(("status", "when"), [(200, [0, 1]), (204, [1, 1]), (304, [1, 1])])
async def test_whoever_has_the_answer_can_read_the_count(
    client: InMemoryFlux, status: int, when: list[int]
) -> None:
    counted: list[int] = []

    @meters("api-calls")
    async def view(request: Request) -> Response:
        return Response(status_code=status)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def count(message: Message) -> None:
        counted.append(client.usage("acme", "api-calls"))

    app = Starlette(routes=[Route("/", view)], middleware=[flux(client)])
    await app(http_scope(), receive, count)

    assert counted == when  # at the headers, at the body


def test_a_task_that_outlives_its_request_decides_nothing(client: InMemoryFlux) -> None:
    failures: list[BaseException] = []

    @requires_entitlement("sso")
    async def later() -> None:
        return None

    async def work() -> None:
        await asyncio.sleep(0)
        try:
            await later()
        except ConfigurationError as error:
            failures.append(error)

    async def view(request: Request) -> Response:
        return PlainTextResponse("view", background=BackgroundTask(work))

    send(ASGISite(Starlette(routes=[Route("/", view)], middleware=[flux(client)])), "/", "acme")

    assert "after its request was answered" in str(failures[0])


def test_nothing_is_left_in_the_context(client: InMemoryFlux) -> None:
    async def scenario() -> None:
        app = Starlette(routes=ROUTES, middleware=[flux(client)])
        await call(app, http_scope(path="/gated"))
        with pytest.raises(ConfigurationError):
            middleware_module.current_request()

    asyncio.run(scenario())


def test_a_decorator_without_the_middleware_says_what_to_add() -> None:
    with pytest.raises(ConfigurationError) as raised:
        ask(Starlette(routes=ROUTES), "/gated", **ACME)

    assert_says_what_to_add(raised.value, "app.add_middleware(FluxMiddleware, organization=...)")


def test_a_decorator_above_the_route_does_not_leak_the_view(client: InMemoryFlux) -> None:
    app = FastAPI()

    @requires_entitlement("sso")
    @app.get("/")
    async def view() -> str:
        return "secret"

    app.add_middleware(FluxMiddleware, organization=organization_of, client=client)

    with pytest.raises(ConfigurationError, match="below the line that registers the route"):
        ask(app, "/", **ACME)


def test_the_application_can_answer_a_denial_in_its_own_way(client: InMemoryFlux) -> None:
    async def page(scope: Scope, denial: Denial) -> Response:
        return JSONResponse({"upgrade": denial.feature, "path": scope["path"]}, denial.status)

    app = Starlette(routes=ROUTES, middleware=[flux(client, on_denied=page)])
    response = ask(app, "/gated", **GLOBEX)

    assert (response.status_code, response.json()) == (403, {"upgrade": "sso", "path": "/gated"})


def test_an_entitlement_error_of_the_applications_own_is_not_answered_for_it(client: InMemoryFlux) -> None:
    async def view(request: Request) -> Response:
        raise EntitlementRequired("sso", "acme")

    app = Starlette(routes=[Route("/", view)], middleware=[flux(client)])

    with pytest.raises(EntitlementRequired):
        ask(app, "/", **ACME)


def test_options_is_no_way_round_the_gate(client: InMemoryFlux) -> None:
    app = Starlette(routes=[Route("/", gated, methods=["GET", "OPTIONS"])], middleware=[flux(client)])

    refused = send(ASGISite(app), "/", "globex", "OPTIONS")

    assert (refused.status, refused.body) == (204, b"")


def test_no_class_of_the_adapter_derives_from_basehttpmiddleware() -> None:
    assert not issubclass(FluxMiddleware, BaseHTTPMiddleware)


def test_importing_the_adapter_loads_no_other_framework() -> None:
    code = "import flux_asgi, sys; print(sorted({'flask', 'django', 'fastapi', 'sqlalchemy'} & set(sys.modules)))"

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert output.stdout == "[]\n"


def test_a_client_that_makes_no_sense_of_an_organization_is_refused_at_start(client: InMemoryFlux) -> None:
    with pytest.raises(ConfigurationError, match="organization is a function"):
        FluxMiddleware(Starlette(), organization="acme", client=client)  # type: ignore[arg-type]


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve the application by uvicorn on a free port of this host."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    started = threading.Event()
    startup = server.startup

    async def startup_and_tell(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        started.set()

    server.startup = startup_and_tell  # type: ignore[method-assign]  # uvicorn has no event for it
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(10)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def test_through_a_real_server(client: InMemoryFlux) -> None:
    acme, globex = {ORGANIZATION_HEADER: "acme"}, {ORGANIZATION_HEADER: "globex"}
    with served(starlette_async(client=client).app) as url, httpx.Client(base_url=url, timeout=30) as http:
        assert http.get("/gated", headers=acme).text == "gated"
        assert http.get("/gated", headers=globex).status_code == 403
        assert http.head("/gated", headers=globex).content == b""
        assert http.get("/streams", headers=acme).text == "onetwothree"
        assert http.get("/answers/204", headers=acme).status_code == 204
        assert client.usage("acme", "api-calls") == 2
