"""The contract's routes as Flask applications, with and without `async`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import flask
from flask.views import MethodView

from flux_flask import Flux, meters, requires_entitlement
from tests.integrations.contract import ORGANIZATION_HEADER, Order, Reply

View = Callable[..., Any]


def organization_of(request: flask.Request) -> str | None:
    """Find the organization in the headers."""
    return request.headers.get(ORGANIZATION_HEADER)


class FlaskSite:
    """A Flask application, called in this process; each request of a batch in a thread of its own."""

    def __init__(self, app: flask.Flask) -> None:
        self.app = app

    def send(self, orders: Sequence[Order]) -> list[Reply]:
        if len(orders) == 1:
            return [self._one(orders[0])]
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(self._one, orders))

    def _one(self, order: Order) -> Reply:
        with self.app.test_client().open(order.path, method=order.method, headers=order.headers) as response:
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, lowered, response.get_data())


def chunks(fail: bool) -> Iterator[bytes]:
    yield b"one"
    if fail:
        raise RuntimeError("view failed")
    yield b"two"
    yield b"three"


def flask_sync(**options: Any) -> FlaskSite:
    def plain() -> str:
        return "plain"

    @requires_entitlement("sso")
    def gated() -> str:
        return "gated"

    @meters("api-calls")
    def metered() -> str:
        return "metered"

    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    def both() -> str:
        return "both"

    @meters("api-calls")
    def answers(status: int) -> tuple[str, int]:
        return "", status

    @meters("api-calls")
    def raises() -> str:
        raise RuntimeError("view failed")

    @meters("api-calls")
    def streams() -> Iterator[bytes]:
        return chunks(fail=False)

    @meters("api-calls")
    def stream_fails() -> Iterator[bytes]:
        yield from chunks(fail=True)

    @requires_entitlement("sso")
    @meters("api-calls")
    def whoami() -> str:
        time.sleep(0.001)
        return organization_of(flask.request) or ""

    return _site(options, plain, gated, metered, both, answers, raises, streams, stream_fails, whoami)


def flask_async(**options: Any) -> FlaskSite:
    async def plain() -> str:
        return "plain"

    @requires_entitlement("sso")
    async def gated() -> str:
        return "gated"

    @meters("api-calls")
    async def metered() -> str:
        return "metered"

    @meters("api-calls")
    @requires_entitlement("sso")
    @meters("api-calls")
    async def both() -> str:
        return "both"

    @meters("api-calls")
    async def answers(status: int) -> tuple[str, int]:
        return "", status

    @meters("api-calls")
    async def raises() -> str:
        raise RuntimeError("view failed")

    @meters("api-calls")
    async def streams() -> Iterator[bytes]:
        return chunks(fail=False)

    @meters("api-calls")
    async def stream_fails() -> flask.Response:
        return flask.Response(flask.stream_with_context(chunks(fail=True)))

    @requires_entitlement("sso")
    @meters("api-calls")
    async def whoami() -> str:
        await asyncio.sleep(0.001)
        return organization_of(flask.request) or ""

    return _site(options, plain, gated, metered, both, answers, raises, streams, stream_fails, whoami)


def flask_classes(**options: Any) -> FlaskSite:
    """`MethodView.decorators`, the application's answers being those of `flask_sync`."""
    gate, meter = requires_entitlement("sso"), meters("api-calls")

    def view(answer: Callable[..., Any], *gates: Any) -> View:
        class Answering(MethodView):
            decorators: ClassVar = list(gates)

            def get(self, **arguments: Any) -> Any:
                return answer(**arguments)

        return Answering.as_view(answer.__name__)

    def raises() -> str:
        raise RuntimeError("view failed")

    def plain() -> str:
        return "plain"

    def gated() -> str:
        return "gated"

    def metered() -> str:
        return "metered"

    def both() -> str:
        return "both"

    def answers(status: int) -> tuple[str, int]:
        return "", status

    def streams() -> Iterator[bytes]:
        return chunks(fail=False)

    def stream_fails() -> Iterator[bytes]:
        return chunks(fail=True)

    def whoami() -> str:
        time.sleep(0.001)
        return organization_of(flask.request) or ""

    return _site(
        options,
        view(plain),
        view(gated, gate),
        view(metered, meter),
        view(both, meter, gate, meter),
        view(answers, meter),
        view(raises, meter),
        view(streams, meter),
        view(stream_fails, meter),
        view(whoami, meter, gate),
    )


def _site(options: dict[str, Any], *views: View) -> FlaskSite:
    options.setdefault("organization", organization_of)
    app = flask.Flask(__name__)
    for path, view in zip(_PATHS, views, strict=True):
        app.add_url_rule(path, view.__name__, view)
    Flux(app, **options)
    return FlaskSite(app)


_PATHS = (
    "/plain",
    "/gated",
    "/metered",
    "/both",
    "/answers/<int:status>",
    "/raises",
    "/streams",
    "/stream-fails",
    "/whoami",
)
