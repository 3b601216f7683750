"""Acceptance scenarios 10 to 24: whatever becomes of its webhooks, what Stripe says is what Flux believes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from flux_sandbox.disorder import DeliveryPlan
from flux_sandbox.faults import Fault
from flux_sandbox.testing import StripeSandbox
from flux_server.database import Database
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector
from flux_server.stripe.linking import set_link
from flux_server.stripe.missed_events import MissedEvents
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.sweeps import Sweep, list_sweeps, read_sweep, start_sweep
from flux_server.stripe.sync import MANY, sync_due
from flux_server.stripe.tables import stripe_events
from tests.flux_server.running import FakeClock
from tests.flux_server.stripe.conftest import Pace, World
from tests.flux_server.stripe.double import StripeDouble
from tests.flux_server.stripe.histories import Histories, receiving
from tests.flux_server.stripe.test_sweeps import put, statuses

DAY = 86_400


class Followed(World):
    """An environment that follows a sandbox, which sells plan pro to customer acme."""

    def __init__(self, connector: Connector, sandbox: StripeSandbox, clock: FakeClock) -> None:
        super().__init__(connector, StripeDouble(), clock)
        self.sandbox = sandbox
        self.v1 = sandbox.client().v1
        product = self.v1.products.create({"name": "Pro"}).id
        recurring = {"interval": "month"}
        sold = {"product": product, "currency": "eur", "unit_amount": 4900, "recurring": recurring}
        self.price = self.v1.prices.create(sold).id
        self.customer = self.v1.customers.create({"metadata": {"organization_id": "acme"}}).id

    def subscribe(self, **more: Any) -> str:
        items = [{"price": self.price, "quantity": 3}]
        return str(self.v1.subscriptions.create({"customer": self.customer, "items": items, **more}).id)

    def events(self, about: str) -> list[str]:
        """Return the ids of the events of the subscription or the customer, oldest first."""
        found = self.v1.events.list({"limit": 100}).to_dict(for_json=True)["data"]
        return [each["id"] for each in reversed(found) if each["data"]["object"]["id"] == about]

    async def hear(self) -> None:
        """Wait until every webhook has come, and read what they tell."""
        await asyncio.to_thread(self.sandbox.wait_delivered, 20)
        await self.sync()

    async def sweep(self) -> Sweep:
        async with self.database.write() as connection:
            started = await start_sweep(connection, "test", "asked", self.clock())
        await self.sync()
        async with self.database.read() as connection:
            return await read_sweep(connection, "test", started.id)

    async def catch_up(self) -> None:
        """Look through Stripe's list of events, and read what they tell."""
        while await MissedEvents(self.connector).run():
            pass
        await self.sync()

    async def deliveries(self) -> dict[str, int]:
        async with self.database.read() as connection:
            found = await connection.execute(select(stripe_events.c.id, stripe_events.c.deliveries))
            return {row.id: row.deliveries for row in found}


@pytest.fixture
async def deaf(database: Database, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Followed]:
    """An environment that no webhook reaches."""
    with StripeSandbox(clock=clock, retry_delays=(0.05,) * 20) as sandbox:
        settings = Settings.model_validate(
            {"data_dir": tmp_path, "secret_key": "a test's", "stripe_api_base": sandbox.url}
        )
        pace = Pace()
        connector = Connector(database, settings, clock, chance=lambda: 1.0, pace=pace, sleep=pace.sleep)
        followed = Followed(connector, sandbox, clock)
        await set_link(connector, "test", api_key="rk_test_sandbox", endpoint=False)
        await followed.sell(followed.price)
        await followed.sync()
        yield followed
        await connector.close()


@pytest.fixture
async def followed(deaf: Followed) -> AsyncIterator[Followed]:
    """An environment that hears of everything."""
    async with receiving(deaf.connector) as address:
        endpoint = deaf.sandbox.listen(address)
        await set_link(deaf.connector, "test", webhook_secret=endpoint.secret, endpoint=False)
        await deaf.sync()
        yield deaf


async def test_10_a_created_subscription_entitles(followed: Followed) -> None:
    followed.subscribe()

    await followed.hear()

    assert await followed.is_entitled("acme")


async def test_11_the_same_event_ten_times_at_once_is_one_row_and_one_change(followed: Followed) -> None:
    (event,) = followed.events(followed.subscribe())
    await followed.hear()
    read = followed.sandbox.requests

    followed.sandbox.deliver(event, times=10)
    await followed.hear()

    assert (await followed.deliveries())[event] == 11
    new = followed.sandbox.requests[: -len(read)] if read else []
    assert 1 <= sum(each.path.startswith("/v1/subscriptions/") for each in new) <= 2


async def test_12_updated_before_created_ends_active(followed: Followed) -> None:
    followed.sandbox.disturb_deliveries(DeliveryPlan(hold=True))
    name = followed.subscribe(trial_period_days=7)
    followed.v1.subscriptions.update(name, {"trial_end": "now"})
    created, *updated = followed.events(name)

    for event in [*reversed(updated), created]:
        followed.sandbox.deliver(event)
        await followed.hear()

    assert await statuses(followed) == {name: "active"}


async def test_13_a_hundred_histories_in_chaos_with_killed_workers_end_as_stripe_says(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "flux.sqlite3")
    with StripeSandbox() as sandbox:
        histories = Histories(f"sqlite+aiosqlite:///{tmp_path / 'flux.sqlite3'}", sandbox, tmp_path)

        assert await histories.run(100) == []

    assert histories.killed > 0


async def test_14_a_stale_created_after_the_end_changes_nothing(followed: Followed) -> None:
    name = followed.subscribe()
    created, *_ = followed.events(name)
    followed.v1.subscriptions.cancel(name)
    await followed.hear()

    followed.sandbox.deliver(created)
    await followed.hear()

    assert await statuses(followed) == {name: "canceled"}


class Killed(BaseException):
    """The process ended here."""


CUTS = [
    pytest.param("holds", "before", id="read-but-not-saved"),
    pytest.param("settle", "before", id="saved-but-not-settled"),
    pytest.param("settle", "after", id="settled-but-not-committed"),
]


@pytest.mark.parametrize(("step", "moment"), CUTS)
async def test_15_a_worker_that_dies_at_any_step_is_followed_by_another(
    deaf: Followed, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    name = deaf.subscribe()
    await deaf.mark(("subscription", name))
    whole = getattr(__import__("flux_server.stripe.sync", fromlist=[step]), step)

    async def cut(*args: Any, **kwargs: Any) -> None:
        if moment == "after":
            await whole(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(f"flux_server.stripe.sync.{step}", cut)
    with pytest.raises(Killed):
        await sync_due(deaf.connector)
    monkeypatch.undo()
    deaf.clock.now += LEASE + 1
    await deaf.sync()

    assert await statuses(deaf) == {name: "active"}


async def test_16_an_event_during_a_sync_is_synced_too(followed: Followed) -> None:
    name = followed.subscribe()
    followed.sandbox.faults(
        Fault(what="slow", path="/v1/subscriptions/*", method="GET", seconds=0.3, times=1)
    )
    await asyncio.to_thread(followed.sandbox.wait_delivered, 20)

    reading = asyncio.create_task(sync_due(followed.connector))
    await asyncio.to_thread(followed.v1.subscriptions.cancel, name)
    await reading
    await followed.hear()

    assert await statuses(followed) == {name: "canceled"}


async def test_17_what_fails_three_times_is_read_the_fourth_time(followed: Followed) -> None:
    followed.sandbox.faults(Fault(what="error", path="/v1/subscriptions/*", method="GET", times=3))
    followed.subscribe()
    await followed.hear()

    assert {each.status for each in followed.sandbox.deliveries} == {200}
    for delay in (2, 4, 8):
        assert not await followed.is_entitled("acme")
        followed.clock.now += delay
        await followed.sync()
    assert await followed.is_entitled("acme")


async def test_18_events_of_four_days_that_never_came_are_found_in_the_list(deaf: Followed) -> None:
    name = deaf.subscribe()
    deaf.clock.now += 4 * DAY
    deaf.v1.subscriptions.update(name, {"metadata": {"seen": "late"}})

    await deaf.catch_up()

    assert await deaf.is_entitled("acme")
    assert set((await deaf.deliveries()).values()) == {0}
    assert set(deaf.events(name)) <= (await deaf.deliveries()).keys()
    async with deaf.database.read() as connection:
        assert [each.reason for each in await list_sweeps(connection, "test")] == ["linked"]


async def test_18_after_forty_days_a_sweep_finds_what_the_list_has_forgotten(deaf: Followed) -> None:
    name = deaf.subscribe(trial_period_days=60)  # without a renewal, which would be in the list
    deaf.clock.now += 40 * DAY

    await deaf.catch_up()

    assert await statuses(deaf) == {name: "trialing"}
    async with deaf.database.read() as connection:
        newest, *_ = await list_sweeps(connection, "test")
    assert (newest.reason, newest.status, newest.drifted) == ("lost-events", "done", 1)


async def test_19_a_quantity_that_changed_without_a_webhook_is_one_drift(deaf: Followed) -> None:
    name = deaf.subscribe()
    await deaf.sweep()
    item = deaf.v1.subscriptions.retrieve(name)["items"]["data"][0]["id"]
    deaf.v1.subscriptions.update(name, {"items": [{"id": item, "quantity": 7}]})

    assert ((await deaf.sweep()).drifted, (await deaf.sweep()).drifted) == (1, 0)


async def test_20_what_ended_while_flux_was_down_is_closed_by_the_sweep(deaf: Followed) -> None:
    name = deaf.subscribe()
    await deaf.sweep()
    deaf.v1.subscriptions.cancel(name)
    assert await deaf.is_entitled("acme")

    await deaf.sweep()

    assert not await deaf.is_entitled("acme")


async def test_21_a_deleted_customer_loses_all_subscriptions(followed: Followed) -> None:
    names = {followed.subscribe(), followed.subscribe()}
    await followed.hear()

    followed.v1.customers.delete(followed.customer)
    await followed.hear()

    assert await statuses(followed) == dict.fromkeys(names, "canceled")
    assert not await followed.is_entitled("acme")
    assert {each.status for each in followed.sandbox.deliveries} == {200}


async def test_22_an_unknown_type_is_taken_and_stored_and_changes_nothing(followed: Followed) -> None:
    name = followed.subscribe()
    await followed.hear()

    event = followed.sandbox.make_event("teleporter.arrived", {"id": name, "object": "subscription"})
    await followed.hear()

    assert (await followed.deliveries())[event] == 1
    assert {each.status for each in followed.sandbox.deliveries} == {200}
    assert await followed.is_entitled("acme")


async def test_22_an_unknown_status_and_unknown_fields_keep_the_last_decision(world: World) -> None:
    put(world, "sub_1")
    await world.mark(("subscription", "sub_1"))
    await world.sync()

    put(world, "sub_1", status="meditating", karma={"left": 3})
    await world.mark(("subscription", "sub_1"))
    await world.sync()

    assert await world.is_entitled("acme")


@pytest.mark.parametrize("version", ["2019-02-19", "2025-02-24.acacia", "2026-10-28.endive", "thin"])
async def test_23_a_change_is_the_same_in_every_shape(deaf: Followed, version: str) -> None:
    async with receiving(deaf.connector) as address:
        kind, secret = await asyncio.to_thread(_listen, deaf, address, version)
        pasted: dict[str, Any] = {kind: secret}
        await set_link(deaf.connector, "test", endpoint=False, **pasted)
        name = deaf.subscribe()

        await deaf.hear()

    assert await deaf.is_entitled("acme")
    assert await statuses(deaf) == {name: "active"}
    assert set((await deaf.deliveries()).values()) == {1}


def _listen(followed: Followed, address: str, version: str) -> tuple[str, str]:
    """Have subscriptions' events told in this shape; return what the link calls the secret, and the secret."""
    if version == "thin":
        types = ["v1.customer.subscription.created"]
        to = {"name": "thin", "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": types}
        include = ["webhook_endpoint.signing_secret"]
        wanted: Any = to | {"webhook_endpoint": {"url": address}, "include": include}
        made = followed.sandbox.client().v2.core.event_destinations.create(wanted)
        return "thin_secret", made.webhook_endpoint.signing_secret
    wanted = {"url": address, "enabled_events": ["customer.subscription.created"], "api_version": version}
    return "webhook_secret", followed.v1.webhook_endpoints.create(wanted).secret


async def test_24_thousands_of_marks_at_once_are_swept_within_the_limit(world: World) -> None:
    names = [f"sub_{number}" for number in range(5 * MANY)]
    put(world, *names)
    await world.mark(*(("subscription", name) for name in names))
    began = world.connector.pace()

    await world.sync()

    assert len(await statuses(world)) == 5 * MANY
    assert sum(world.stripe.calls[f"/v1/subscriptions/{name}"] for name in names) == 0
    assert world.connector.pace() - began < 120


async def test_24_too_many_calls_are_no_reason_for_more(world: World) -> None:
    refused = (429, {"error": {"message": "Too many requests"}})
    world.stripe.fail("/v1/subscriptions/sub_1", refused)
    put(world, "sub_1", "sub_2")
    began = world.connector.pace()
    await world.mark(("subscription", "sub_1"))
    await world.sync()

    await world.mark(("subscription", "sub_2"))
    await world.sync()

    assert world.stripe.calls["/v1/subscriptions/sub_1"] == 1
    assert world.connector.pace() - began >= 1
