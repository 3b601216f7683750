"""Responses that are written piece by piece and never held in memory as a whole."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

__all__ = ["PiecewiseResponse", "compressed"]

_PATIENCE = 60.0
_GZIP = 31  # zlib's window of 32 KiB, in gzip's format
_LEVEL = 5
_log = structlog.get_logger("flux.api")


class PiecewiseResponse(StreamingResponse):
    """A response whose source is closed at once when its reader is gone, or takes nothing for a minute.

    The source may hold a transaction: it must not wait for the garbage collector, nor for a reader that stalls.
    It is never cancelled either. A statement that is cut off takes its connection with it, and SQLite keeps the
    transaction of a lost connection until the garbage collector comes by; Starlette's own way would even cancel
    the end of the transaction. `wake` is called when the reader is gone, for a source that may be waiting.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        *,
        media_type: str,
        headers: dict[str, str],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces
        self._wake = wake
        self._is_gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI calls it
        """Write until everything is written or the reader is gone."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            await self.stream_response(send)
        finally:
            watching.cancel()

    async def stream_response(self, send: Send) -> None:
        """Write the source's pieces as they come; stop in the middle if nobody takes them."""
        async with aclosing(self._pieces) as pieces:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for piece in pieces:
                if self._is_gone or not await _is_taken(send, piece):
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._wake()


async def _is_taken(send: Send, piece: bytes) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        _log.warning("a reader took nothing and was cut off", seconds=_PATIENCE)
        return False
    return True


async def compressed(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Compress the pieces as they come."""
    gzip = zlib.compressobj(_LEVEL, wbits=_GZIP)
    async with aclosing(pieces):
        async for piece in pieces:
            # Other requests go on meanwhile: zlib lets go of the interpreter's lock.
            ready = await asyncio.to_thread(gzip.compress, piece)
            if ready:
                yield ready
    yield gzip.flush()
