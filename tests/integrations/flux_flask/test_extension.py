from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
import httpx
import pytest

from flux_flask import Denial, Flux, meters, requires_entitlement
from flux_middleware.errors import ConfigurationError
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import ORGANIZATION_HEADER, acme_later, assert_says_what_to_add, send
from tests.integrations.flux_flask.sites import FlaskSite, flask_sync, organization_of

ACME = {ORGANIZATION_HEADER: "acme"}
GLOBEX = {ORGANIZATION_HEADER: "globex"}


@pytest.fixture
def client() -> InMemoryFlux:
    client = InMemoryFlux()
    client.grant("acme", "sso")
    return client


@pytest.fixture
def flux(client: InMemoryFlux) -> Flux:
    return Flux(organization=organization_of, client=client)


def make_app() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/gated")
    @requires_entitlement("sso")
    def gated() -> str:
        return "gated"

    @app.get("/metered")
    @meters("api-calls")
    def metered() -> str:
        return "metered"

    return app


@pytest.fixture
def app(flux: Flux) -> flask.Flask:
    app = make_app()
    flux.init_app(app)
    return app


def test_initializing_twice_counts_once(app: flask.Flask, flux: Flux, client: InMemoryFlux) -> None:
    flux.init_app(app)

    assert send(FlaskSite(app), "/metered", "acme").status == 200
    assert client.usage("acme", "api-calls") == 1
    assert app.extensions["flux"] is flux


def test_one_extension_serves_two_applications(flux: Flux, client: InMemoryFlux) -> None:
    first, second = make_app(), make_app()
    flux.init_app(first)
    flux.init_app(second)

    assert send(FlaskSite(first), "/gated", "acme").status == 200
    assert send(FlaskSite(second), "/gated", "globex").status == 403
    assert not any(isinstance(value, flask.Flask) for value in vars(flux).values())


def test_it_can_be_installed_after_the_first_request(flux: Flux) -> None:
    app = make_app()
    send(FlaskSite(app), "/nowhere")

    flux.init_app(app)

    assert send(FlaskSite(app), "/gated", "globex").status == 403


def test_blueprints_are_gated_under_every_name(app: flask.Flask) -> None:
    inner, outer = flask.Blueprint("inner", __name__), flask.Blueprint("outer", __name__)

    @inner.get("/view")
    @requires_entitlement("sso")
    def view() -> str:
        return "view"

    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/a")
    app.register_blueprint(outer, url_prefix="/b", name="again")

    for path in ("/a/inner/view", "/b/inner/view"):
        assert send(FlaskSite(app), path, "acme").status == 200
        assert send(FlaskSite(app), path, "globex").status == 403


def test_a_view_wrapped_by_another_extension_stays_gated(app: flask.Flask) -> None:
    inner: Any = app.view_functions["gated"]
    app.view_functions["gated"] = lambda: inner()

    assert send(FlaskSite(app), "/gated", "globex").status == 403


def test_flasks_own_answer_to_options_is_untouched(app: flask.Flask) -> None:
    reply = send(FlaskSite(app), "/gated", None, "OPTIONS")

    assert reply.status == 200
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(("path", "method", "status"), [("/nowhere", "GET", 404), ("/gated", "POST", 405)])
def test_what_has_no_view_is_nobodys_business(
    app: flask.Flask, client: InMemoryFlux, path: str, method: str, status: int
) -> None:
    assert send(FlaskSite(app), path, "globex", method).status == status
    assert not client.recorded


@pytest.mark.parametrize("setting", ["TESTING", "PROPAGATE_EXCEPTIONS"])
def test_an_exception_that_propagates_is_not_counted(
    app: flask.Flask, client: InMemoryFlux, setting: str
) -> None:
    error = RuntimeError("view failed")

    @app.get("/raises")
    @meters("api-calls")
    def raises() -> str:
        raise error

    app.config[setting] = True

    with pytest.raises(RuntimeError) as raised:
        send(FlaskSite(app), "/raises", "acme")
    assert raised.value is error
    assert not client.recorded
    assert send(FlaskSite(app), "/metered").status == 200
    assert not client.recorded


def test_a_status_changed_by_another_extension_decides(app: flask.Flask, client: InMemoryFlux) -> None:
    @app.after_request
    def maintenance(response: flask.Response) -> flask.Response:
        response.status_code = 503
        return response

    send(FlaskSite(app), "/metered", "acme")

    assert not client.recorded


def test_an_error_after_the_view_is_not_counted(app: flask.Flask, client: InMemoryFlux) -> None:
    @app.after_request
    def broken(response: flask.Response) -> flask.Response:
        raise RuntimeError("session could not be saved")

    assert send(FlaskSite(app), "/metered", "acme").status == 500
    assert not client.recorded


def test_a_handled_exception_counts_by_its_response(app: flask.Flask, client: InMemoryFlux) -> None:
    @app.get("/raises")
    @meters("api-calls")
    def raises() -> str:
        raise LookupError

    @app.errorhandler(LookupError)
    def found_elsewhere(error: LookupError) -> str:
        return "found elsewhere"

    assert send(FlaskSite(app), "/raises", "acme").status == 200
    assert client.usage("acme", "api-calls") == 1


def add_stream(app: flask.Flask, closed: list[str]) -> None:
    @app.get("/stream")
    @meters("api-calls")
    def stream() -> flask.Response:
        def body() -> Iterator[str]:
            try:
                yield flask.request.path
                yield "end"
            finally:
                closed.append("closed")

        return flask.Response(flask.stream_with_context(body()))


def test_a_stream_counts_when_it_ends(app: flask.Flask, client: InMemoryFlux) -> None:
    closed: list[str] = []
    add_stream(app, closed)

    with app.test_client().get("/stream", headers=ACME, buffered=False) as response:
        chunks = response.iter_encoded()
        assert next(iter(chunks)) == b"/stream"
        assert client.usage("acme", "api-calls") == 0
        assert list(chunks) == [b"end"]
        assert client.usage("acme", "api-calls") == 1
    assert client.usage("acme", "api-calls") == 1
    assert closed == ["closed"]


def test_a_stream_that_the_client_leaves_is_counted(app: flask.Flask, client: InMemoryFlux) -> None:
    closed: list[str] = []
    add_stream(app, closed)

    with app.test_client().get("/stream", headers=ACME, buffered=False) as response:
        assert next(iter(response.iter_encoded())) == b"/stream"

    assert client.usage("acme", "api-calls") == 1
    assert closed == ["closed"]


def test_a_file_counts_and_is_left_to_the_server(
    app: flask.Flask, client: InMemoryFlux, tmp_path: Any
) -> None:
    file = tmp_path / "report.txt"
    file.write_text("report")

    @app.get("/file")
    @meters("api-calls")
    def report() -> flask.Response:
        return flask.send_file(file)

    assert send(FlaskSite(app), "/file", "acme").body == b"report"
    assert client.usage("acme", "api-calls") == 1


def test_a_synchronous_and_an_asynchronous_view_wait_for_the_organization(client: InMemoryFlux) -> None:
    app = make_app()

    @app.get("/async")
    @requires_entitlement("sso")
    async def asynchronous() -> str:
        return "async"

    Flux(app, organization=acme_later, client=client)

    assert send(FlaskSite(app), "/gated").body == b"gated"
    assert send(FlaskSite(app), "/async").body == b"async"


def test_the_application_can_answer_a_denial_in_its_own_way(client: InMemoryFlux) -> None:
    def page(request: flask.Request, denial: Denial) -> tuple[dict[str, str], int]:
        return {"upgrade": denial.feature, "path": request.path}, denial.status

    app = make_app()
    Flux(app, organization=organization_of, client=client, on_denied=page)
    response = app.test_client().get("/gated", headers=GLOBEX)

    assert (response.status_code, response.json) == (403, {"upgrade": "sso", "path": "/gated"})


@pytest.mark.parametrize("context", ["none", "application", "request"])
def test_a_decorator_without_the_extension_says_what_to_add(context: str) -> None:
    app = make_app()
    contexts: dict[str, Any] = {
        "none": nullcontext,
        "application": app.app_context,
        "request": app.test_request_context,
    }

    with contexts[context](), pytest.raises(ConfigurationError) as raised:
        app.view_functions["gated"]()

    assert_says_what_to_add(raised.value, "Flux(app, organization=...)")


def test_a_decorator_above_the_route_is_found_at_the_first_request(flux: Flux) -> None:
    app = flask.Flask(__name__)

    @requires_entitlement("sso")
    @app.get("/")
    def view() -> str:
        return "secret"

    flux.init_app(app)

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="below the line that registers the route"):
            app.test_client().get("/", headers=ACME)


def test_importing_the_adapter_loads_no_other_framework() -> None:
    code = "import flux_flask, sys; print(sorted({'starlette', 'django', 'sqlalchemy'} & set(sys.modules)))"

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert output.stdout == "[]\n"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the standard library's name
        """Keep the test's output readable."""


def test_through_a_real_server(client: InMemoryFlux) -> None:
    with make_server("127.0.0.1", 0, flask_sync(client=client).app, handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=30) as http:
            assert http.get("/gated", headers=ACME).text == "gated"
            assert http.get("/gated", headers=GLOBEX).status_code == 403
            assert http.head("/gated", headers=GLOBEX).content == b""
            assert http.get("/streams", headers=ACME).text == "onetwothree"
            assert http.get("/answers/204", headers=ACME).status_code == 204
        server.shutdown()
        thread.join(10)

    assert client.usage("acme", "api-calls") == 2
