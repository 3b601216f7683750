"""Doing together what many ask for at the same time, such as to be stored: one commit for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["Gathering"]

T = TypeVar("T")
R = TypeVar("R")

_MOST: Final = 100


class Gathering(Generic[T, R]):
    """Gathers what comes while `work` is busy, and has it do that as its next piece.

    `work` takes some items, and returns a result for each. Nothing waits for more to come: alone, an item is done
    at once.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int = _MOST) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def join(self, item: T) -> R:
        """Have the item done, together with those of others; return its result, or raise what its piece raised."""
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await result

    async def _run(self) -> None:
        try:
            while self._waiting:
                piece = self._waiting[: self._most]
                del self._waiting[: self._most]
                await self._do(piece)
        finally:
            self._task = None

    async def _do(self, piece: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([item for item, _ in piece])
        except Exception as error:
            # Whoever waits for the piece is told, and the next piece is another.
            for _, result in piece:
                if not result.done():
                    result.set_exception(error)
            return
        for (_, result), value in zip(piece, results, strict=True):
            if not result.done():  # who asked may have gone away
                result.set_result(value)
