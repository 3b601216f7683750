from __future__ import annotations

import asyncio
import random
import subprocess
import sys

import pytest
from sqlalchemy import Row, select

from flux_server.stripe.forwarder import Forwarded, forward, plan_all, send_due
from flux_server.stripe.link import read_link
from flux_server.stripe.outbox import claim_deliveries
from flux_server.stripe.outcomes import RESEND_WITHIN
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.planning import plan_forwarding
from flux_server.stripe.tables import stripe_outbox
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World, subscribe_metered
from tests.flux_server.stripe.double import Answer

METER_EVENTS = "/v1/billing/meter_events"
LIMITED: Answer = (429, {"error": {"message": "slow down"}})


@pytest.fixture
async def metered(world: World) -> World:
    """Organization org-1 is metered since yesterday, and has used 90."""
    await subscribe_metered(world, start_date=NOON - 86_400)
    await world.use(90, bucket=NOON)
    return world


async def rows(world: World) -> list[Row[tuple[object, ...]]]:
    async with world.database.read() as connection:
        return list(await connection.execute(select(stripe_outbox)))


async def forward_until_settled(world: World) -> None:
    """Forward again and again, as time passes, until no row waits."""
    for _ in range(40):
        await forward(world.connector, "test")
        if all(row.state != "pending" for row in await rows(world)):
            return
        world.clock.now += 600
    raise AssertionError("rows still wait")


async def test_usage_reaches_the_meter(metered: World) -> None:
    forwarded = await forward(metered.connector, "test")

    assert forwarded == Forwarded(planned=1, sent=1, retried=0, ambiguous=0, dead=0)
    assert metered.stripe.metered() == 90
    (event,) = metered.stripe.meter_events.values()
    assert (event["event_name"], event["timestamp"]) == ("calls", str(NOON))


async def test_forwarding_twice_changes_nothing(metered: World) -> None:
    await forward(metered.connector, "test")
    again = await forward(metered.connector, "test")

    assert again == Forwarded(planned=0, sent=0, retried=0, ambiguous=0, dead=0)
    assert metered.stripe.metered() == 90


async def test_what_is_used_later_follows(metered: World) -> None:
    await forward(metered.connector, "test")
    await metered.use(100, bucket=NOON)
    await metered.use(5, bucket=NOON, source="another-worker")
    await forward(metered.connector, "test")

    assert metered.stripe.metered() == 105


async def test_a_lost_answer_is_found_to_be_counted(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, "lost")

    await forward_until_settled(metered)

    assert metered.stripe.calls[METER_EVENTS] == 2
    assert metered.stripe.metered() == 90
    assert [row.state for row in await rows(metered)] == ["sent"]


async def test_a_saved_failure_is_not_asked_for_again(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, "saved-500")

    await forward_until_settled(metered)

    keys = {headers["idempotency-key"] for headers in metered.stripe.headers if "idempotency-key" in headers}
    assert len(keys) == 2
    assert metered.stripe.metered() == 90


async def test_being_told_to_slow_down_only_delays(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, LIMITED, LIMITED, LIMITED)

    await forward_until_settled(metered)

    assert metered.stripe.metered() == 90


async def test_an_attempt_that_surely_did_not_count_may_be_repeated_for_ever(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, LIMITED)
    await forward(metered.connector, "test")

    metered.clock.now += RESEND_WITHIN + 3600
    await forward(metered.connector, "test")

    assert metered.stripe.metered() == 90


async def test_what_may_have_been_counted_a_day_ago_is_not_sent_again(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, "lost")
    await forward(metered.connector, "test")

    metered.clock.now += RESEND_WITHIN
    await forward(metered.connector, "test")

    assert metered.stripe.calls[METER_EVENTS] == 1
    assert [row.state for row in await rows(metered)] == ["ambiguous"]


async def test_a_refusal_is_kept_with_its_reason(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, (400, {"error": {"message": "No active meter"}}))

    forwarded = await forward(metered.connector, "test")

    assert forwarded.dead == 1
    assert [(row.state, row.error) for row in await rows(metered)] == [("dead", "No active meter")]


async def test_a_revoked_key_keeps_everything_until_the_link_is_set_again(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, (401, {"error": {"message": "Invalid API Key"}}))
    await forward(metered.connector, "test")
    await metered.use(100, bucket=NOON)
    await forward(metered.connector, "test")
    assert metered.stripe.calls[METER_EVENTS] == 1
    async with metered.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    assert link.status == "paused"

    await metered.link()
    await forward_until_settled(metered)

    assert metered.stripe.metered() == 100


async def test_a_missing_permission_pauses_only_forwarding(metered: World) -> None:
    metered.stripe.fail(METER_EVENTS, (403, {"error": {"message": "needs 'rak_billing_meter_event_write'"}}))

    await forward(metered.connector, "test")

    async with metered.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    assert link.status == "active"
    assert link.forwarding_paused == "Stripe refuses the key: needs 'rak_billing_meter_event_write'"


async def test_of_one_customer_and_meter_one_row_is_under_way_at_a_time(metered: World) -> None:
    await metered.use(5, bucket=NOON - 3600)
    async with metered.database.write() as connection:
        await plan_forwarding(connection, "test", NOON)
        first = await claim_deliveries(connection, "test", NOON, 10)
    async with metered.database.write() as connection:
        second = await claim_deliveries(connection, "test", NOON, 10)

    assert [delivery.timestamp for delivery in first] == [NOON - 3600]
    assert second == ()


async def test_two_senders_send_each_row_once(metered: World) -> None:
    for hour in range(1, 10):
        await metered.use(hour, bucket=NOON - hour * 3600)
    await plan_all(metered.connector)

    async def send() -> None:
        while await send_due(metered.connector):
            pass

    await asyncio.gather(send(), send(), send())
    await forward_until_settled(metered)

    assert metered.stripe.metered() == 90 + 45
    assert metered.stripe.calls[METER_EVENTS] == 10


class Killed(BaseException):
    """Ends a sender where it stands; unlike an error, nothing handles it."""


CUTS = [
    pytest.param("flux_server.stripe.forwarder.plan_forwarding", "before", id="before-planning"),
    pytest.param("flux_server.stripe.planning._note_forwarded", "before", id="planned-but-not-committed"),
    pytest.param(
        "flux_server.stripe.forwarder.plan_forwarding", "after", id="inside-the-planning-transaction"
    ),
    pytest.param("flux_server.stripe.forwarder.claim_deliveries", "before", id="planned"),
    pytest.param("flux_server.stripe.forwarder.claim_deliveries", "after", id="claimed-but-not-committed"),
    pytest.param("flux_server.stripe.forwarder._attempt", "before", id="claimed-but-not-sent"),
    pytest.param("flux_server.stripe.forwarder._attempt", "after", id="sent-but-not-heard"),
    pytest.param("flux_server.stripe.forwarder.judge", "before", id="heard-but-not-judged"),
    pytest.param("flux_server.stripe.forwarder.record_outcome", "before", id="judged-but-not-recorded"),
    pytest.param("flux_server.stripe.forwarder.record_outcome", "after", id="recorded-but-not-committed"),
]


@pytest.mark.parametrize(("function", "moment"), CUTS)
async def test_a_sender_may_die_at_any_step(
    metered: World, monkeypatch: pytest.MonkeyPatch, function: str, moment: str
) -> None:
    module, _, name = function.rpartition(".")
    whole = __import__(module, fromlist=[name]).__dict__[name]

    async def cut_awaited(*args: object, **kwargs: object) -> object:
        if moment == "after":
            await whole(*args, **kwargs)
        raise Killed

    def cut(*args: object, **kwargs: object) -> object:
        raise Killed

    monkeypatch.setattr(function, cut_awaited if asyncio.iscoroutinefunction(whole) else cut)
    with pytest.raises(Killed):
        await forward(metered.connector, "test")
    monkeypatch.undo()
    metered.clock.now += LEASE + 1

    await forward_until_settled(metered)

    assert metered.stripe.metered() == 90


async def test_thousands_of_events_add_up_whatever_fails(world: World) -> None:
    chance = random.Random(37)
    await subscribe_metered(world, start_date=NOON - 86_400)
    counted = dict.fromkeys(range(NOON - 20 * 3600, NOON, 3600), 0)
    for _ in range(10_000):
        counted[chance.choice(list(counted))] += 1
    for bucket, total in counted.items():
        await world.use(total // 2, bucket=bucket)
        await world.use(total - total // 2, bucket=bucket, source="another-worker")
    failures: list[Answer | str] = ["lost", "saved-500", LIMITED]
    world.stripe.fail(METER_EVENTS, *chance.choices(failures, k=15))

    await forward_until_settled(world)

    assert world.stripe.metered() == 10_000
    assert {row.state for row in await rows(world)} == {"sent"}


def start_sender(world: World, url: str) -> subprocess.Popen[bytes]:
    now = str(int(world.clock()))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.flux_server.stripe.sender", url, world.stripe.url, now]
    )


async def test_senders_killed_again_and_again_bill_exactly(world: World, database_url: str) -> None:
    chance = random.Random(40)
    used = {}
    for number in range(30):
        await subscribe_metered(world, number, start_date=NOON - 86_400)
        used[f"cus_{number}"] = 3 * (number + 1)
        for hour in range(3):
            await world.use(number + 1, bucket=NOON - hour * 3600, organization=f"org-{number}")
    failures: list[Answer | str] = ["lost", "saved-500", LIMITED]
    world.stripe.fail(METER_EVENTS, *chance.choices(failures, k=20))

    for _ in range(4):
        with start_sender(world, database_url) as sender:
            await asyncio.to_thread(
                world.stripe.wait_for_calls,
                METER_EVENTS,
                chance.randint(1, 40),
                unless=lambda: sender.poll() is not None,
            )
            sender.kill()
        world.clock.now += LEASE + 1
    await forward_until_settled(world)

    assert {customer: world.stripe.metered(customer) for customer in used} == used
    assert {row.state for row in await rows(world)} == {"sent"}
