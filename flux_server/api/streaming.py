"""Responses that are written piece by piece and never held in memory as a whole."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send

__all__ = ["PiecewiseResponse", "compressed"]

_PATIENCE = 60.0
_GZIP = 31  # zlib's window of 32 KiB, in gzip's format
_LEVEL = 5


class PiecewiseResponse(StreamingResponse):
    """A response whose source is closed at once when its reader is gone, or takes nothing for a minute.

    The source may hold a transaction: it must not wait for the garbage collector, nor for a reader that stalls.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for piece in pieces:
                async with asyncio.timeout(_PATIENCE):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


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
