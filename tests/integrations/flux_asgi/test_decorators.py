"""Decorated endpoints stay what they were. Annotations are strings here, as FastAPI has to cope with."""

from __future__ import annotations

import functools
import gc
import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flux_asgi import FluxMiddleware, Meters, RequiresEntitlement, meters, requires_entitlement
from flux_middleware.errors import ConfigurationError
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import acme_later, send
from tests.integrations.flux_asgi.sites import ASGISite, organization_of


class Item(BaseModel):
    name: str


@pytest.fixture
def client() -> InMemoryFlux:
    client = InMemoryFlux()
    client.grant("acme", "sso")
    return client


@pytest.fixture
def app(client: InMemoryFlux) -> FastAPI:
    app = FastAPI()
    app.add_middleware(FluxMiddleware, organization=organization_of, client=client)
    return app


@pytest.fixture
def site(app: FastAPI) -> ASGISite:
    return ASGISite(app)


def unchanged(function: Any) -> Any:
    return function


@pytest.mark.parametrize("decorate", [requires_entitlement("sso"), meters("api-calls")])
def test_the_schema_is_the_same_with_and_without(decorate: Any) -> None:
    def schema(decorate: Callable[[Any], Any]) -> dict[str, Any]:
        app = FastAPI()

        @app.post("/items/{key}", tags=["items"], response_model=Item)
        @decorate
        async def create(key: int, item: Item, q: Annotated[str, Depends(token)] = "", limit: int = 3) -> Any:
            """Create an item."""

        @app.get("/items")
        @decorate
        def items(request: Request) -> list[Item]:
            """List the items."""
            return []

        @app.get("/lines")
        @decorate
        async def lines() -> AsyncIterator[Item]:
            yield Item(name="a")

        return app.openapi()

    assert schema(decorate) == schema(unchanged)


def token(x_token: str = "") -> str:
    return x_token


def test_name_documentation_and_signature_stay() -> None:
    def view(request: Request, limit: int = 3) -> Response:
        """Look."""
        return Response()

    decorated = requires_entitlement("sso")(view)

    assert (decorated.__name__, decorated.__doc__) == ("view", "Look.")
    assert inspect.signature(decorated) == inspect.signature(view)


def test_parameters_bodies_and_dependencies_arrive(app: FastAPI, site: ASGISite) -> None:
    @app.get("/items/{key}")
    @requires_entitlement("sso")
    @meters("api-calls")
    async def item(key: int, q: Annotated[str, Depends(token)], limit: int = 3) -> Item:
        return Item(name=f"{key} {q} {limit}")

    assert json.loads(send(site, "/items/7?x_token=t", "acme").body) == {"name": "7 t 3"}
    assert send(site, "/items/seven", "acme").status == 422


def test_an_endpoint_without_async_stays_in_its_worker_thread(app: FastAPI, site: ASGISite) -> None:
    @app.get("/")
    @requires_entitlement("sso")
    def view() -> str:
        return threading.current_thread().name

    assert "worker" in send(site, "/", "acme").body.decode()


async def partial_view(greeting: str, request: Request) -> Response:
    return PlainTextResponse("view")


class CallableView:
    async def __call__(self, request: Request) -> Response:
        return PlainTextResponse("view")


class Views:
    async def method(self, request: Request) -> Response:
        return PlainTextResponse("view")

    @staticmethod
    def static(request: Request) -> Response:
        return PlainTextResponse("view")

    @classmethod
    async def of_class(cls, request: Request) -> Response:
        return PlainTextResponse("view")


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(functools.partial(partial_view, "hello"), id="partial"),
        pytest.param(CallableView(), id="callable-object"),
        pytest.param(Views().method, id="bound-method"),
        pytest.param(Views.static, id="static-method"),
        pytest.param(Views.of_class, id="class-method"),
    ],
)
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_whatever_can_be_called_can_be_gated(client: InMemoryFlux, view: Any, framework: Any) -> None:
    app = framework(middleware=[Middleware(FluxMiddleware, organization=organization_of, client=client)])
    if framework is FastAPI and isinstance(view, functools.partial):
        app.add_api_route("/", requires_entitlement("sso")(functools.partial(view.func, greeting="hello")))
    elif framework is FastAPI:
        app.add_api_route("/", requires_entitlement("sso")(view))
    else:
        app.router.routes.append(Route("/", requires_entitlement("sso")(view)))

    assert send(ASGISite(app), "/", "acme").body == b"view"
    assert send(ASGISite(app), "/", "globex").status == 403


def test_a_class_is_decorated_on_its_methods() -> None:
    class Endpoint(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return Response()

    with pytest.raises(ConfigurationError, match="decorate its methods"):
        requires_entitlement("sso")(Endpoint)


def add_streams(app: FastAPI, decorate: Callable[[Any], Any]) -> None:
    @app.get("/async-lines")
    @decorate
    async def async_lines() -> AsyncIterator[Item]:
        yield Item(name="a")
        yield Item(name="b")

    @app.get("/lines")
    @decorate
    def lines() -> Iterator[Item]:
        yield Item(name="a")
        yield Item(name="b")

    @app.get("/events", response_class=EventSourceResponse)
    @decorate
    async def events() -> AsyncIterator[Item]:
        yield Item(name="a")
        yield Item(name="b")


@pytest.mark.parametrize("path", ["/async-lines", "/lines", "/events"])
@pytest.mark.filterwarnings("ignore:.*coroutine method 'aclose'.*:RuntimeWarning")
def test_a_generator_endpoint_returns_its_full_body(
    app: FastAPI, site: ASGISite, client: InMemoryFlux, path: str
) -> None:
    plain = FastAPI()
    add_streams(plain, unchanged)
    add_streams(app, lambda function: requires_entitlement("sso")(meters("api-calls")(function)))

    assert send(site, path, "acme").body == send(ASGISite(plain), path).body != b""
    assert client.usage("acme", "api-calls") == 1


@pytest.mark.parametrize("path", ["/async-lines", "/lines", "/events"])
def test_a_generator_endpoint_is_refused_before_it_starts(
    app: FastAPI, site: ASGISite, client: InMemoryFlux, path: str
) -> None:
    add_streams(app, lambda function: requires_entitlement("sso")(meters("api-calls")(function)))

    reply = send(site, path, "globex")

    assert (reply.status, json.loads(reply.body)["feature"]) == (403, "sso")
    assert not client.recorded


@pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_generator_endpoint_says_what_to_do_about_an_asynchronous_resolver(client: InMemoryFlux) -> None:
    app = FastAPI()
    app.add_middleware(FluxMiddleware, organization=acme_later, client=client)
    add_streams(app, requires_entitlement("sso"))
    site = ASGISite(app)
    site.raises = True

    with pytest.raises(ConfigurationError, match=r"Depends\(RequiresEntitlement"):
        send(site, "/lines")
    gc.collect()  # the organization that nobody could wait for


def test_a_generator_endpoint_can_be_gated_by_dependency(client: InMemoryFlux) -> None:
    app = FastAPI(dependencies=[Depends(RequiresEntitlement("sso"))])
    app.add_middleware(FluxMiddleware, organization=acme_later, client=client)
    add_streams(app, unchanged)

    assert send(ASGISite(app), "/lines").body == b'{"name":"a"}\n{"name":"b"}\n'


def test_a_response_that_fails_its_model_is_not_counted(
    app: FastAPI, site: ASGISite, client: InMemoryFlux
) -> None:
    @app.get("/", response_model=Item)
    @meters("api-calls")
    async def view() -> dict[str, str]:
        return {"nonsense": "yes"}

    assert send(site, "/", "acme").status == 500
    assert not client.recorded


def test_a_function_on_two_paths_counts_per_request(
    app: FastAPI, site: ASGISite, client: InMemoryFlux
) -> None:
    @app.get("/a")
    @app.get("/b")
    @meters("api-calls")
    async def view() -> str:
        return "view"

    assert [send(site, path, "acme").status for path in ("/a", "/b", "/a")] == [200, 200, 200]
    assert client.usage("acme", "api-calls") == 3


def test_equal_dependencies_count_once(app: FastAPI, site: ASGISite, client: InMemoryFlux) -> None:
    router = APIRouter(dependencies=[Depends(Meters("api-calls")), Depends(RequiresEntitlement("sso"))])

    @router.get("/", dependencies=[Depends(Meters("api-calls"))])
    @meters("api-calls")
    async def view() -> str:
        return "view"

    app.include_router(router)

    assert send(site, "/", "acme").status == 200
    assert send(site, "/", "globex").status == 403
    assert client.recorded == {("acme", "api-calls"): 1}


def test_a_dependency_can_be_overridden(app: FastAPI, site: ASGISite) -> None:
    @app.get("/", dependencies=[Depends(RequiresEntitlement("sso"))])
    async def view() -> str:
        return "view"

    app.dependency_overrides[RequiresEntitlement("sso")] = lambda: None

    assert send(site, "/", "globex").status == 200


@pytest.mark.parametrize("dependency", [RequiresEntitlement, Meters])
def test_a_dependencys_name_is_checked_where_it_is_written(dependency: Any) -> None:
    with pytest.raises(ConfigurationError, match="a key is 1 to 64"):
        dependency("Single Sign-On")
