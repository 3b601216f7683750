"""An application to start under real servers: each request counts one call, and says who counted it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import flux

flux.init()  # with gunicorn's --preload, in the process that then forks the workers


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Count one call."""
    flux.billing.record_usage("acme", "calls")
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]


async def asgi(
    scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Count one call; like Django, know nothing of a server's start and end."""
    assert scope["type"] == "http"
    flux.billing.record_usage("acme", "calls")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
