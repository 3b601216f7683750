"""The contract's routes as a Django project: functions, async functions and classes, under WSGI and under ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from flux_django import meters, requires_entitlement
from tests.integrations.contract import ORGANIZATION_HEADER, Order, Reply


def organization_of(request: HttpRequest) -> str | None:
    """Find the organization in the headers."""
    return request.headers.get(ORGANIZATION_HEADER)


class DjangoSite:
    """A Django project, called in this process through WSGI or ASGI while its `settings` are enabled."""

    def __init__(self, server: str, routes: Any, flux: dict[str, Any]) -> None:
        self._server = server
        self.routes = routes
        self.flux = flux
        self.settings = override_settings(ROOT_URLCONF=routes, FLUX=flux)

    def send(self, orders: Sequence[Order]) -> list[Reply]:
        return self._wsgi(orders) if self._server == "wsgi" else asyncio.run(self._asgi(orders))

    def _wsgi(self, orders: Sequence[Order]) -> list[Reply]:
        transport = httpx.WSGITransport(get_wsgi_application())
        with httpx.Client(transport=transport, base_url="http://site") as client:
            if len(orders) == 1:
                return [_reply(client.request(**_arguments(orders[0])))]
            with ThreadPoolExecutor(16) as threads:
                return list(threads.map(lambda order: _reply(client.request(**_arguments(order))), orders))

    async def _asgi(self, orders: Sequence[Order]) -> list[Reply]:
        application: Any = get_asgi_application()  # the stubs want plain dicts where httpx has mappings
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            replies = await asyncio.gather(*(client.request(**_arguments(order)) for order in orders))
        return [_reply(response) for response in replies]


def _arguments(order: Order) -> dict[str, Any]:
    return {"method": order.method, "url": order.path, "headers": order.headers}


def _reply(response: httpx.Response) -> Reply:
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


def stream(request: HttpRequest, fail: bool) -> HttpResponseBase:
    """Stream as the server likes it: Django warns of the other kind of iterator."""
    return StreamingHttpResponse(chunks_later(fail) if hasattr(request, "scope") else chunks(fail))


def django_sync(server: str, **options: Any) -> DjangoSite:
    def plain(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("plain")

    @requires_entitlement("sso")
    def gated(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("gated")

    @meters("api-calls")
    def metered(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("metered")

    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    def both(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("both")

    @meters("api-calls")
    def answers(request: HttpRequest, status: int) -> HttpResponseBase:
        return HttpResponse(status=status)

    @meters("api-calls")
    def raises(request: HttpRequest) -> HttpResponseBase:
        raise RuntimeError("view failed")

    @meters("api-calls")
    def streams(request: HttpRequest) -> HttpResponseBase:
        return stream(request, fail=False)

    @meters("api-calls")
    def stream_fails(request: HttpRequest) -> HttpResponseBase:
        return stream(request, fail=True)

    @requires_entitlement("sso")
    @meters("api-calls")
    def whoami(request: HttpRequest) -> HttpResponseBase:
        time.sleep(0.001)
        return HttpResponse(organization_of(request))

    views = (plain, gated, metered, both, answers, raises, streams, stream_fails, whoami)
    return _site(server, options, *views)


def django_async(server: str, **options: Any) -> DjangoSite:
    async def plain(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("plain")

    @requires_entitlement("sso")
    async def gated(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("gated")

    @meters("api-calls")
    async def metered(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("metered")

    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    async def both(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse("both")

    @meters("api-calls")
    async def answers(request: HttpRequest, status: int) -> HttpResponseBase:
        return HttpResponse(status=status)

    @meters("api-calls")
    async def raises(request: HttpRequest) -> HttpResponseBase:
        raise RuntimeError("view failed")

    @meters("api-calls")
    async def streams(request: HttpRequest) -> HttpResponseBase:
        return stream(request, fail=False)

    @meters("api-calls")
    async def stream_fails(request: HttpRequest) -> HttpResponseBase:
        return stream(request, fail=True)

    @requires_entitlement("sso")
    @meters("api-calls")
    async def whoami(request: HttpRequest) -> HttpResponseBase:
        await asyncio.sleep(0.001)
        return HttpResponse(organization_of(request))

    views = (plain, gated, metered, both, answers, raises, streams, stream_fails, whoami)
    return _site(server, options, *views)


def django_classes(server: str, **options: Any) -> DjangoSite:
    """Synchronous classes: the method itself, `method_decorator` on it and on `dispatch`, and `as_view()`."""
    gate, meter = requires_entitlement("sso"), meters("api-calls")

    class Plain(View):
        def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("plain")

    @method_decorator(gate, name="dispatch")
    class Gated(View):
        def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("gated")

    class Metered(View):
        @meter
        def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("metered")

    @method_decorator([meter, gate], name="dispatch")
    class Both(View):
        @method_decorator(meter)
        def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("both")

    class Answers(View):
        def get(self, request: HttpRequest, status: int) -> HttpResponseBase:
            return HttpResponse(status=status)

    @method_decorator(meter, name="get")
    class Raises(View):
        def get(self, request: HttpRequest) -> HttpResponseBase:
            raise RuntimeError("view failed")

    class Streams(View):
        fail = False

        @meter
        def get(self, request: HttpRequest) -> HttpResponseBase:
            return stream(request, self.fail)

    class Whoami(View):
        @gate
        @meter
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return super().dispatch(request, *args, **kwargs)

        def get(self, request: HttpRequest) -> HttpResponseBase:
            time.sleep(0.001)
            return HttpResponse(organization_of(request))

    views = (
        Plain.as_view(),
        Gated.as_view(),
        Metered.as_view(),
        Both.as_view(),
        meter(Answers.as_view()),
        Raises.as_view(),
        Streams.as_view(),
        Streams.as_view(fail=True),
        Whoami.as_view(),
    )
    return _site(server, options, *views)


def django_async_classes(server: str, **options: Any) -> DjangoSite:
    """Asynchronous classes, decorated in the same places; their `dispatch` is an ordinary function."""
    gate, meter = requires_entitlement("sso"), meters("api-calls")

    class Plain(View):
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("plain")

    @method_decorator(gate, name="dispatch")
    class Gated(View):
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("gated")

    class Metered(View):
        @meter
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("metered")

    @method_decorator([meter, gate], name="dispatch")
    class Both(View):
        @method_decorator(meter)
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse("both")

    class Answers(View):
        async def get(self, request: HttpRequest, status: int) -> HttpResponseBase:
            return HttpResponse(status=status)

    @method_decorator(meter, name="get")
    class Raises(View):
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            raise RuntimeError("view failed")

    class Streams(View):
        fail = False

        @meter
        async def get(self, request: HttpRequest) -> HttpResponseBase:
            return stream(request, self.fail)

    class Whoami(View):
        @gate
        @meter
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return super().dispatch(request, *args, **kwargs)

        async def get(self, request: HttpRequest) -> HttpResponseBase:
            await asyncio.sleep(0.001)
            return HttpResponse(organization_of(request))

    views = (
        Plain.as_view(),
        Gated.as_view(),
        Metered.as_view(),
        Both.as_view(),
        meter(Answers.as_view()),
        Raises.as_view(),
        Streams.as_view(),
        Streams.as_view(fail=True),
        Whoami.as_view(),
    )
    return _site(server, options, *views)


def _site(server: str, options: dict[str, Any], *views: Callable[..., Any]) -> DjangoSite:
    flux = {"ORGANIZATION": organization_of} | {name.upper(): value for name, value in options.items()}
    return DjangoSite(
        server, tuple(path(route, view) for route, view in zip(_PATHS, views, strict=True)), flux
    )


_PATHS = (
    "plain",
    "gated",
    "metered",
    "both",
    "answers/<int:status>",
    "raises",
    "streams",
    "stream-fails",
    "whoami",
)
