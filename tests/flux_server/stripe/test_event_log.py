from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from flux_server.database import Database
from flux_server.errors import NotFoundError
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector
from flux_server.stripe.event_log import (
    EventSearch,
    prune_due,
    prune_events,
    read_event,
    search_events,
)
from flux_server.stripe.events import customer_of
from flux_server.stripe.tables import stripe_subscriptions
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.logged import log_event
from tests.flux_server.stripe.test_webhooks import deliver, event

DAY = 86_400


async def found(database: Database, limit: int = 9, **wanted: Any) -> list[str]:
    async with database.read() as connection:
        events = await search_events(connection, "test", EventSearch(**wanted), limit=limit)
    return [each.id for each in events]


@pytest.fixture
async def log(database: Database) -> Database:
    """A log of four events; the subscription sub_9 is known to be of customer cus_1."""
    async with database.write() as connection:
        await log_event(connection, "evt_1", NOON)
        await log_event(connection, "evt_2", NOON + 10, type="customer.created", object_id="cus_1")
        await log_event(connection, "evt_3", NOON + 20, deliveries=0, object_id="sub_3", customer="cus_3")
        await log_event(connection, "evt_4", NOON + 20, kind="thin", object_id="sub_9", customer=None)
        theirs = {"environment": "test", "id": "sub_9", "customer": "cus_1"}
        await connection.execute(insert(stripe_subscriptions).values(theirs))
    return database


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        pytest.param({}, ["evt_4", "evt_3", "evt_2", "evt_1"], id="all"),
        pytest.param({"about": "evt_2"}, ["evt_2"], id="event"),
        pytest.param({"about": "sub_3"}, ["evt_3"], id="object"),
        pytest.param({"about": "cus_1"}, ["evt_4", "evt_2", "evt_1"], id="customer"),
        pytest.param({"type": "customer.created"}, ["evt_2"], id="type"),
        pytest.param({"since": NOON + 10, "until": NOON + 20}, ["evt_2"], id="time"),
        pytest.param({"missed": True}, ["evt_3"], id="missed"),
        pytest.param({"about": "cus_1", "missed": True}, [], id="both"),
    ],
)
async def test_events_are_found_by_all_that_is_asked_for(
    log: Database, wanted: dict[str, Any], names: list[str]
) -> None:
    assert await found(log, **wanted) == names


async def test_another_environments_events_are_not_found(log: Database) -> None:
    async with log.read() as connection:
        assert await search_events(connection, "live", EventSearch(), limit=9) == ()
        with pytest.raises(NotFoundError, match="never came, or is older"):
            await read_event(connection, "live", "evt_1")


async def test_pages_neither_repeat_nor_leave_out_events_of_the_same_second(database: Database) -> None:
    async with database.write() as connection:
        for number in range(7):
            await log_event(connection, f"evt_{number}", NOON + number // 4)
        names, before = [], None
        while page := await search_events(connection, "test", EventSearch(), before=before, limit=2):
            names += [each.id for each in page]
            before = (page[-1].received_at, page[-1].id)

    assert names == ["evt_6", "evt_5", "evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]


async def test_a_webhook_is_logged_with_its_customer_and_its_body(world: World) -> None:
    subject = {"id": "sub_1", "object": "subscription", "customer": {"id": "cus_7", "object": "customer"}}
    sent = event(data={"object": subject})

    await deliver(world, sent)

    async with world.database.read() as connection:
        logged, body = await read_event(connection, "test", "evt_1")
    assert (logged.customer, logged.object_type, logged.deliveries) == ("cus_7", "subscription", 1)
    assert body == sent


@pytest.mark.parametrize(
    ("subject", "customer"),
    [
        pytest.param({"object": "customer", "id": "cus_1"}, "cus_1", id="itself"),
        pytest.param({"object": "invoice", "customer": "cus_1"}, "cus_1", id="its"),
        pytest.param({"object": "invoice", "customer": {"id": "cus_1"}}, "cus_1", id="expanded"),
        pytest.param({"object": "price"}, None, id="nobody's"),
        pytest.param({"customer": "c" * 256}, None, id="too-long"),
    ],
)
def test_whose_an_object_is_is_read_from_it(subject: dict[str, Any], customer: str | None) -> None:
    assert customer_of(subject) == customer


async def test_old_events_are_forgotten_some_at_a_time_the_oldest_first(database: Database) -> None:
    async with database.write() as connection:
        for number in range(5):
            await log_event(connection, f"evt_{number}", NOON + number)
        assert await prune_events(connection, "test", before=NOON + 4, most=2)
        left = await search_events(connection, "test", EventSearch(), limit=9)
        while await prune_events(connection, "test", before=NOON + 4, most=2):
            pass

    assert [each.id for each in left] == ["evt_4", "evt_3", "evt_2"]
    assert await found(database) == ["evt_4"]


async def test_events_are_kept_as_many_days_as_the_settings_say(connector: Connector) -> None:
    days = Settings().event_days
    async with connector.database.write() as connection:
        await log_event(connection, "evt_old", NOON - days * DAY - 1)
        await log_event(connection, "evt_kept", NOON - days * DAY)

    assert not await prune_due(connector)

    assert await found(connector.database) == ["evt_kept"]
