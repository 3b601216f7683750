from __future__ import annotations

import pytest

from flux_server.errors import NotFoundError
from flux_server.stripe.connector import NotLinkedError
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.replay import objects_of, replay_event
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.logged import log_event


async def test_a_replay_reads_the_present_state_whatever_the_event_said(world: World) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription(status="active")
    async with world.database.write() as connection:
        await log_event(connection, "evt_1", NOON - 80 * 86_400, type="customer.subscription.deleted")

        objects = await replay_event(connection, "test", "evt_1", NOON)
    await world.sync()

    assert objects == (ObjectRef("subscription", "sub_1"),)
    assert await world.is_entitled("acme")


async def test_an_event_that_is_not_followed_has_nothing_read(world: World) -> None:
    async with world.database.write() as connection:
        await log_event(connection, "evt_1", type="charge.succeeded")

        assert await replay_event(connection, "test", "evt_1", NOON) == ()


async def test_what_is_not_there_or_not_linked_cannot_be_replayed(world: World) -> None:
    async with world.database.write() as connection:
        with pytest.raises(NotFoundError, match="evt_9"):
            await replay_event(connection, "test", "evt_9", NOON)
        with pytest.raises(NotLinkedError):
            await replay_event(connection, "live", "evt_1", NOON)


def test_a_body_that_is_no_longer_understood_says_nothing() -> None:
    assert objects_of(b'{"id": "evt_1"}') == ()
