"""Decorated functions keep their types. mypy checks this file; running it checks that they still work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import assert_type

import pytest

import flux_asgi
import flux_django
import flux_flask
from flux_middleware.errors import ConfigurationError


@flux_asgi.requires_entitlement("sso")
@flux_asgi.meters("api-calls")
async def endpoint(number: int, *, name: str = "") -> str:
    return name * number


@flux_asgi.requires_entitlement("sso")
def synchronous_endpoint(number: int) -> float:
    return number / 2


@flux_asgi.meters("api-calls")
async def stream(number: int) -> AsyncIterator[int]:
    yield number


@flux_flask.requires_entitlement("sso")
@flux_flask.meters("api-calls")
def flask_view(number: int) -> tuple[str, int]:
    return "", number


@flux_flask.meters("api-calls")
def flask_stream() -> Iterator[str]:
    yield ""


class Views:
    @flux_django.requires_entitlement("sso")
    @flux_django.meters("api-calls")
    def method(self, number: int) -> bytes:
        return bytes(number)

    @flux_django.requires_entitlement("sso")
    async def asynchronous_method(self, number: int) -> bytes:
        return bytes(number)


async def check_calls() -> None:
    """Never called: what mypy infers is what counts."""
    assert_type(await endpoint(3, name="a"), str)
    assert_type(synchronous_endpoint(3), float)
    assert_type(stream(3), AsyncIterator[int])
    assert_type(flask_view(3), tuple[str, int])
    assert_type(flask_stream(), Iterator[str])
    assert_type(Views().method(3), bytes)
    assert_type(await Views().asynchronous_method(3), bytes)

    await endpoint("3")  # type: ignore[arg-type]  # a wrong argument is still found
    synchronous_endpoint()  # type: ignore[call-arg]
    Views().method(number="3")  # type: ignore[arg-type]
    flux_asgi.requires_entitlement(3)  # type: ignore[arg-type]


as_function: Callable[[int], float] = synchronous_endpoint
as_coroutine_function: Callable[[int], Awaitable[bytes]] = Views().asynchronous_method


@pytest.mark.parametrize("view", [synchronous_endpoint, flask_view, Views().method])
def test_a_view_called_outside_of_a_request_says_so(view: Callable[[int], object]) -> None:
    with pytest.raises(ConfigurationError, match=r"[Ff]lux"):
        view(3)
