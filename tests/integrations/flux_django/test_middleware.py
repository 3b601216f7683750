from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asgiref.sync
import httpx
import pytest
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core import checks
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from flux_django import Denial, meters, requires_entitlement
from flux_django.checks import check_installation
from flux_django.middleware import FluxMiddleware
from flux_middleware.errors import ConfigurationError
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import ORGANIZATION_HEADER, assert_says_what_to_add
from tests.integrations.flux_django.sites import organization_of

ACME = {ORGANIZATION_HEADER: "acme"}
GLOBEX = {ORGANIZATION_HEADER: "globex"}
Project = Callable[..., None]


@pytest.fixture
def client() -> InMemoryFlux:
    client = InMemoryFlux()
    client.grant("acme", "sso")
    return client


@pytest.fixture
def project(client: InMemoryFlux) -> Iterator[Project]:
    """Serve one view at `/view`."""
    enabled: list[override_settings] = []

    def serve(view: Callable[..., Any], **flux: Any) -> None:
        options = {"ORGANIZATION": organization_of, "CLIENT": client} | flux
        enabled.append(override_settings(ROOT_URLCONF=(path("view", view),), FLUX=options))
        enabled[-1].enable()

    yield serve
    for override in reversed(enabled):
        override.disable()


@requires_entitlement("sso")
@meters("api-calls")
def view(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse("view")


@requires_entitlement("sso")
@meters("api-calls")
async def async_view(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse("view")


async def test_an_asynchronous_view_makes_no_thread_hop(
    project: Project, client: InMemoryFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(async_view)
    hops: list[object] = []
    original = asgiref.sync.SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        hops.append(self.func)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(asgiref.sync.SyncToAsync, "__call__", counted)
    responses = [await AsyncClient().get("/view", headers=headers) for headers in (ACME, GLOBEX)]

    assert [response.status_code for response in responses] == [200, 403]
    # Django closes and announces the end of each response in a thread; nothing of ours is among these.
    assert not [hop for hop in hops if "flux" in getattr(hop, "__module__", "")]
    assert client.usage("acme", "api-calls") == 1


def test_the_middleware_is_as_asynchronous_as_what_is_below_it() -> None:
    async def get_response(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse()

    assert iscoroutinefunction(FluxMiddleware(get_response))
    assert not iscoroutinefunction(FluxMiddleware(lambda request: HttpResponse()))


def test_installed_twice_it_counts_once(project: Project, client: InMemoryFlux) -> None:
    project(view)

    with override_settings(MIDDLEWARE=settings.MIDDLEWARE * 2):
        assert Client(headers=ACME).get("/view").status_code == 200

    assert client.usage("acme", "api-calls") == 1


def test_a_request_that_resolves_to_nothing_is_nobodys_business(
    project: Project, client: InMemoryFlux
) -> None:
    project(view)

    assert Client(headers=ACME).get("/nowhere").status_code == 404
    assert not client.recorded


def test_a_request_past_the_middleware_says_what_to_add() -> None:
    with pytest.raises(ConfigurationError) as raised:
        view(RequestFactory().get("/view"))

    assert_says_what_to_add(raised.value, '"flux_django.middleware.FluxMiddleware" to MIDDLEWARE')


@pytest.mark.parametrize("decorated", [csrf_exempt(view), requires_entitlement("sso")(csrf_exempt(view))])
def test_attributes_of_the_view_stay(decorated: Any) -> None:
    assert decorated.csrf_exempt


def test_a_denial_is_not_logged_as_a_warning(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project(view)

    assert Client(headers=GLOBEX).get("/view").status_code == 403
    assert not caplog.records


@pytest.mark.parametrize("handler", [view, async_view])
def test_the_application_can_answer_a_denial_in_its_own_way(project: Project, handler: Any) -> None:
    def page(request: HttpRequest, denial: Denial) -> HttpResponse:
        return HttpResponse(f"{request.path} needs {denial.feature}", status=denial.status)

    project(handler, ON_DENIED=page)
    response = Client(headers=GLOBEX).get("/view")

    assert (response.status_code, response.content) == (403, b"/view needs sso")


def test_the_settings_may_name_functions_by_path(project: Project) -> None:
    project(view, ORGANIZATION="tests.integrations.flux_django.sites.organization_of")

    assert Client(headers=ACME).get("/view").status_code == 200


def test_overridden_settings_take_effect(project: Project) -> None:
    project(view)
    http = Client(headers=ACME)
    before = http.get("/view").status_code

    with override_settings(FLUX=settings.FLUX | {"ORGANIZATION": lambda request: "globex"}):
        during = http.get("/view").status_code

    assert (before, during, http.get("/view").status_code) == (200, 403, 200)


@pytest.mark.parametrize(
    ("flux", "says"),
    [
        pytest.param(None, "the FLUX setting is missing", id="missing"),
        pytest.param({}, "names no ORGANIZATION", id="no-organization"),
        pytest.param({"ORGANIZATION": len, "ORGANISATION": len}, "unknown keys: ORGANISATION", id="unknown"),
        pytest.param({"ORGANIZATION": "nowhere.at_all"}, "cannot be imported", id="unimportable"),
        pytest.param({"ORGANIZATION": 3}, "organization is a function", id="not-callable"),
    ],
)
def test_a_wrong_setting_is_said_by_the_check_and_the_first_request(flux: Any, says: str) -> None:
    with override_settings(FLUX=flux, ROOT_URLCONF=(path("view", view),)):
        [error] = check_installation()
        with pytest.raises(ConfigurationError, match=says):
            Client(headers=ACME).get("/view")

    assert (error.id, error.level) == ("flux.E001", checks.ERROR)
    assert says in error.msg


def test_the_check_misses_the_middleware_when_views_are_decorated() -> None:
    with override_settings(MIDDLEWARE=[], ROOT_URLCONF=(path("view", view),)):
        [warning] = [message for message in checks.run_checks() if message.id == "flux.W001"]

    assert "sso" in warning.msg
    assert "flux_django.middleware.FluxMiddleware" in str(warning.hint)


def test_the_check_is_content_with_a_complete_installation(project: Project) -> None:
    project(view)

    assert check_installation() == []


@pytest.mark.parametrize("sized", [True, False])
def test_a_stream_counts_when_it_is_over(project: Project, client: InMemoryFlux, sized: bool) -> None:
    @meters("api-calls")
    def stream(request: HttpRequest) -> HttpResponseBase:
        response = StreamingHttpResponse(iter([b"one", b"two"]))
        if sized:
            response["Content-Length"] = "6"
        return response

    project(stream)
    response = Client(headers=ACME).get("/view")

    assert client.usage("acme", "api-calls") == sized
    assert b"".join(response) == b"onetwo"
    assert client.usage("acme", "api-calls") == 1
    response.close()
    assert client.usage("acme", "api-calls") == 1


def test_a_stream_that_the_client_leaves_is_counted(project: Project, client: InMemoryFlux) -> None:
    closed: list[str] = []

    def body() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append("closed")

    @meters("api-calls")
    def stream(request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(body())

    project(stream)
    response = Client(headers=ACME).get("/view")
    next(iter(response))
    response.close()

    assert client.usage("acme", "api-calls") == 1
    assert closed == ["closed"]


async def test_an_asynchronous_stream_counts_when_it_is_over(project: Project, client: InMemoryFlux) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0)
        yield b"two"

    @meters("api-calls")
    async def stream(request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(body())

    project(stream)
    response: Any = await AsyncClient().get("/view", headers=ACME)

    assert client.usage("acme", "api-calls") == 0
    assert b"".join([chunk async for chunk in response]) == b"onetwo"
    assert client.usage("acme", "api-calls") == 1


def test_a_file_counts_once(project: Project, client: InMemoryFlux, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("report")

    @meters("api-calls")
    def report(request: HttpRequest) -> HttpResponseBase:
        return FileResponse(file.open("rb"))

    project(report)
    response = Client(headers=ACME).get("/view")

    assert b"".join(response) == b"report"
    response.close()
    assert client.usage("acme", "api-calls") == 1


def test_options_is_no_way_round_the_gate(project: Project, client: InMemoryFlux) -> None:
    project(view)
    response = Client(headers=GLOBEX).options("/view")

    assert (response.status_code, response.content) == (204, b"")


@contextmanager
def gunicorn(application: str) -> Iterator[str]:
    """Serve the application by gunicorn, as a process, on a free port of this host."""
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket", application]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"Listening at: (\S+)", line):
                    yield found[1]
                    break
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_through_a_real_server() -> None:
    with (
        gunicorn("tests.integrations.flux_django.served:application") as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        assert http.get("/gated", headers=ACME).text == "gated"
        assert http.get("/gated", headers=GLOBEX).status_code == 403
        assert http.head("/gated", headers=GLOBEX).content == b""
        assert http.get("/streams", headers=ACME).text == "onetwothree"
        assert http.get("/answers/204", headers=ACME).status_code == 204
        assert http.get("/counted", headers=ACME).text == "2"


def test_importing_the_adapter_needs_no_settings_and_no_other_framework() -> None:
    code = (
        "import flux_django, flux_django.apps, flux_django.middleware, sys, threading;"
        "print(sorted({'starlette', 'flask', 'sqlalchemy'} & set(sys.modules)), threading.active_count())"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert output.stdout == "[] 1\n"
