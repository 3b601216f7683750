from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from flux_server.gathering import Gathering


class Work:
    """Doubles numbers; the first piece waits until it may go on, and negative numbers cannot be done."""

    def __init__(self) -> None:
        self.pieces: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.pieces.append(list(items))
        await self.go_on.wait()
        if min(items) < 0:
            raise ValueError("negative")
        return [2 * item for item in items]


async def test_what_comes_while_a_piece_is_done_is_the_next_piece() -> None:
    work = Work()
    gathering = Gathering(work)

    asked = [asyncio.create_task(gathering.join(number)) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(gathering.join(number)) for number in (4, 5)]
    await asyncio.sleep(0)
    work.go_on.set()

    assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8, 10]
    assert work.pieces == [[0, 1, 2, 3], [4, 5]]


async def test_a_piece_has_so_many_items_at_most() -> None:
    work = Work()
    work.go_on.set()
    gathering = Gathering(work, most=2)

    assert await asyncio.gather(*(gathering.join(number) for number in range(5))) == [0, 2, 4, 6, 8]

    assert work.pieces == [[0, 1], [2, 3], [4]]


async def test_a_piece_that_fails_tells_its_own_and_the_next_is_done() -> None:
    work = Work()
    work.go_on.set()
    gathering = Gathering(work, most=2)

    answers = await asyncio.gather(*(gathering.join(each) for each in (-1, 1, 2)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [ValueError, ValueError, int]
    with pytest.raises(ValueError, match="negative"):
        await gathering.join(-2)


async def test_somebody_who_went_away_does_not_stop_the_others() -> None:
    work = Work()
    gathering = Gathering(work)
    gone, stays = (asyncio.create_task(gathering.join(number)) for number in (1, 2))
    await asyncio.sleep(0)

    gone.cancel()
    work.go_on.set()

    assert await stays == 4
    assert gone.cancelled()
