"""Binds each request to the gate, and counts it when its response is complete."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from flux_django.conf import configured_gate
from flux_middleware.errors import ConfigurationError
from flux_middleware.gate import GatedRequest

__all__ = ["FluxMiddleware", "request_of"]

_KEY = "flux.request"


class FluxMiddleware:
    """Gate and meter the decorated views; synchronous and asynchronous, each without a thread hop."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        bound = request.META[_KEY] = GatedRequest(configured_gate(), request, request.method or "")
        if self._async:
            return self._answer(request, bound)
        return _complete(self._get_response(request), bound)

    async def _answer(self, request: HttpRequest, bound: GatedRequest) -> HttpResponseBase:
        return _complete(await self._get_response(request), bound)


def request_of(args: tuple[Any, ...]) -> tuple[Any, GatedRequest]:
    """Return the request among a view's or a method's arguments, and its binding.

    Raises:
        ConfigurationError: the request has not passed the middleware.
    """
    for argument in args[:2]:
        # Not by type: Django REST framework wraps requests in a class of its own.
        bound = getattr(argument, "META", {}).get(_KEY)
        if bound is not None:
            return argument, bound
    raise ConfigurationError(
        "a gated or metered view was called with a request that FluxMiddleware has not seen; add "
        '"flux_django.middleware.FluxMiddleware" to MIDDLEWARE, after the authentication'
    )


def _complete(response: HttpResponseBase, bound: GatedRequest) -> HttpResponseBase:
    if bound.metrics and response.streaming and not response.has_header("Content-Length"):
        _count_at_the_end(cast("StreamingHttpResponse", response), bound)
    else:
        # Before it is sent, so that whoever reads the answer can read the count.
        bound.commit(response.status_code)
    return response


def _count_at_the_end(response: StreamingHttpResponse, bound: GatedRequest) -> None:
    """Count a stream when it ends, also when the client leaves, but not when it fails."""
    commit = functools.partial(bound.commit, response.status_code)
    chunks: Any = response.streaming_content
    counted = _counted_async if response.is_async else _counted
    response.streaming_content = counted(chunks, bound, commit)
    response._resource_closers.append(commit)  # type: ignore[attr-defined]  # the only place that learns of a close


def _counted(chunks: Iterator[bytes], bound: GatedRequest, commit: Callable[[], None]) -> Iterator[bytes]:
    try:
        yield from chunks
    except Exception:
        bound.ended = True
        raise
    commit()


async def _counted_async(
    chunks: AsyncIterator[bytes], bound: GatedRequest, commit: Callable[[], None]
) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except Exception:
        bound.ended = True
        raise
    commit()
