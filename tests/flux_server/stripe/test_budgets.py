from __future__ import annotations

import asyncio

from flux_server.database import Database
from flux_server.stripe.budgets import Turns, hold_back, reserve
from tests.flux_server.running import NOON


async def turns(
    database: Database, wanted: int, *, pace: float = NOON, within: float = 60, endpoint: str = "customers"
) -> Turns:
    async with database.write() as connection:
        return await reserve(connection, "test", endpoint, wanted, pace=pace, within=within)


async def test_turns_are_twenty_a_second_whoever_reserves_them(database: Database) -> None:
    first, second = await turns(database, 3), await turns(database, 1)

    moments = [first.moment(place) for place in range(3)] + [second.moment(0)]
    assert moments == [NOON, NOON + 0.05, NOON + 0.1, NOON + 0.15]


async def test_those_who_reserve_at_once_get_different_turns(database: Database) -> None:
    found = await asyncio.gather(*(turns(database, 1) for _ in range(8)))

    assert sorted(each.moment(0) for each in found) == [NOON + number * 0.05 for number in range(8)]


async def test_turns_that_nobody_took_are_not_saved_up(database: Database) -> None:
    await turns(database, 1)

    late = await turns(database, 2, pace=NOON + 100)

    assert [late.moment(0), late.moment(1)] == [NOON + 100, NOON + 100.05]


async def test_only_turns_that_come_soon_are_reserved(database: Database) -> None:
    found = await turns(database, 100, within=0.5)
    none = await turns(database, 1, within=0.5)

    assert (found.count, none.count, none.moment(0)) == (11, 0, NOON + 0.55)


async def test_each_part_of_stripe_has_its_own_turns(database: Database) -> None:
    await turns(database, 20)

    assert (await turns(database, 1, endpoint="events")).moment(0) == NOON


async def test_too_many_calls_hold_everybody_back_and_make_turns_rarer(database: Database) -> None:
    async with database.write() as connection:
        for _ in range(5):  # the whole burst is refused
            await hold_back(connection, "test", "customers", 30, pace=NOON)

    found = await turns(database, 2)

    assert (found.moment(0), found.apart) == (NOON + 30, 100)


async def test_turns_become_as_frequent_as_before_with_use(database: Database) -> None:
    async with database.write() as connection:
        await hold_back(connection, "test", "customers", 1, pace=NOON)

    await turns(database, 40)

    assert (await turns(database, 1)).apart == 50


async def test_a_turn_of_a_clock_that_was_wrong_is_forgotten(database: Database) -> None:
    await turns(database, 1, pace=NOON + 10_000)

    assert (await turns(database, 1)).moment(0) == NOON
