"""An answer that is none: the connection is closed in its place, as when a network or a server goes down."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["HangUp"]


class HangUp(Response):
    """Closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # nothing is sent
        """Close it, and wait until the server knows that there is nobody left to answer."""
        _transport(receive).close()
        while (await receive())["type"] != "http.disconnect":
            pass


def _transport(receive: Receive) -> asyncio.Transport:
    """Return the connection under a request. ASGI has no word for it, but uvicorn's `receive` is bound to it."""
    request: Any = getattr(receive, "__self__", None)
    transport = getattr(request, "transport", None)
    if not isinstance(transport, asyncio.Transport):
        message = "faults that close the connection need uvicorn: run flux-sandbox, or flux_sandbox.testing"
        raise RuntimeError(message)
    return transport
