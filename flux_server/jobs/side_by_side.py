"""Work that a job does piece by piece, many pieces at a time, so that a slow one holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flux_server.bell import Bell

__all__ = ["Pieces", "run_side_by_side"]


@dataclass(frozen=True, slots=True)
class Pieces:
    """What can be begun now, and in how many seconds there will be more; None: as far as is known, never."""

    work: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()
    more_in: float | None = None


async def run_side_by_side(
    take: Callable[[], Awaitable[Pieces]], bell: Bell, *topics: str, look_again: float
) -> bool:
    """Do what `take` gives, and ask it for more whenever a piece is done or a topic rings.

    While pieces are under way it is asked every `look_again` seconds at the latest. Ends when there is nothing to
    do and nothing under way; whoever ends it before ends all its pieces. `work` must survive its own errors.

    Returns:
        Whether there was anything to do.
    """
    under_way: set[asyncio.Task[None]] = set()
    any_done = False
    try:
        with bell.listening(*topics) as rung:
            while True:
                rung.clear()
                pieces = await take()
                under_way |= {asyncio.create_task(piece()) for piece in pieces.work}
                any_done = any_done or bool(pieces.work)
                if not under_way and pieces.more_in is None:
                    return any_done
                if not pieces.work:
                    wait = look_again if pieces.more_in is None else min(look_again, pieces.more_in)
                    await _until_any(under_way, rung, wait)
                for task in [task for task in under_way if task.done()]:
                    under_way.remove(task)
                    task.result()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _until_any(under_way: set[asyncio.Task[None]], rung: asyncio.Event, seconds: float) -> None:
    """Wait until one of the tasks is done, the bell has rung, or the time is over."""
    listening = asyncio.create_task(rung.wait())
    try:
        await asyncio.wait({*under_way, listening}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
