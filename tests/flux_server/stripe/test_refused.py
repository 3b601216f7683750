from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from flux_server.database import Database
from flux_server.stripe.health import Heard, read_health
from flux_server.stripe.refused import Refused, RefusedWebhooks, write_refusals
from flux_server.stripe.webhooks import WebhookRefusedError
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.test_webhooks import BODY, deliver, sign


async def heard(world: World) -> Heard:
    async with world.database.read() as connection:
        return (await read_health(connection, "test", NOON)).heard


async def test_refused_webhooks_are_written_down_with_the_last_ones_reason(world: World) -> None:
    for number in range(3):
        world.clock.now = NOON + number
        with pytest.raises(WebhookRefusedError):
            await deliver(world, BODY, sign(BODY, secret="whsec_another"))
    assert (await heard(world)).refused == 0  # a request costs no write

    await write_refusals(world.database, world.connector.refused)
    await write_refusals(world.database, world.connector.refused)

    found = await heard(world)
    assert (found.refused, found.refused_at) == (3, NOON + 2)
    assert "no signature" in str(found.refused_reason)


async def test_what_became_of_each_webhook_is_counted(world: World) -> None:
    outcomes = []
    world.connector.count_webhook = lambda environment, outcome: outcomes.append((environment, outcome))

    await deliver(world, BODY)
    await deliver(world, BODY)
    with pytest.raises(WebhookRefusedError):
        await deliver(world, BODY, "garbage")

    assert outcomes == [("test", "received"), ("test", "duplicate"), ("test", "refused")]


async def test_what_cannot_be_written_is_not_forgotten(tmp_path: Path) -> None:
    noted, empty = RefusedWebhooks(), Database(f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite3'}")
    noted.note("test", "first", NOON)

    with pytest.raises(DBAPIError, match="no such table"):
        await write_refusals(empty, noted)
    noted.note("test", "second", NOON + 1)
    await empty.close()

    assert noted.take() == {"test": Refused(2, NOON + 1, "second")}
    assert noted.take() == {}
