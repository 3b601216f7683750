"""Sandbox, server and a client, all of one time: who turns the sandbox's clock turns everybody's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flux_middleware.client import Flux
from flux_server.settings import Settings
from flux_server.stripe.dirty import claim_due, holds
from flux_server.stripe.outbox import claim_deliveries, count_outbox, record_outcome
from flux_server.stripe.outcomes import judge
from flux_server.stripe.planning import plan_forwarding
from flux_server.subscriptions.reading import list_subscriptions
from tests.flux_middleware.clients import QUICK
from tests.flux_sandbox.running import RunningSandbox, running_sandbox
from tests.flux_server.running import NOON, run_server
from tests.flux_server.stripe.conftest import WallClock, World, subscribe_metered, wait_until

DAY = 86_400


class Place:
    """Where an application is developed: acme may subscribe to pro, whose usage is billed."""

    def __init__(self, sandbox: RunningSandbox, settings: Settings, directory: Path) -> None:
        self.sandbox = sandbox
        self.running = ExitStack()
        self.server = self.running.enter_context(run_server(settings, WallClock()))
        key = self.server.make_key("sdk")
        self.flux = Flux(key, url=self.server.url, directory=directory, pace=QUICK)
        self.sell()

    def sell(self) -> None:
        self.stripe = self.sandbox.stripe.v1
        product = self.stripe.products.create({"name": "Pro"}).id
        recurring: Any = {"interval": "month"}
        self.price = self.stripe.prices.create(
            {"product": product, "currency": "eur", "unit_amount": 4900, "recurring": recurring}
        ).id
        self.customer = self.stripe.customers.create({"metadata": {"organization_id": "acme"}}).id
        with self.server.client() as self.admin:
            self.put("features/sso", kind="boolean")
            self.put("metrics/calls", name="Calls")
            grants = [{"feature": "sso", "value": True}]
            self.put("plans/pro", name="Pro", kind="base", prices=[{"price": self.price}], grants=grants)
            self.admin.post("/v1/plans/pro/publish", json={"existing": "stay"}).raise_for_status()
            self.put("stripe/link", api_key="rk_test_sandbox")

    def put(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.admin.put(f"/v1/{path}", json=body).raise_for_status().json()
        return answer

    def subscribe(self, **more: Any) -> str:
        """Subscribe acme, and have every subscription read at once."""
        wanted: Any = {"customer": self.customer, "items": [{"price": self.price}], **more}
        made = self.stripe.subscriptions.create(wanted).id
        with self.server.client() as admin:
            admin.post("/v1/stripe/sync").raise_for_status()
        wait_until(self.is_entitled, "the worker knows")
        return made

    def is_entitled(self) -> bool:
        return self.flux.billing.is_entitled("acme", "sso")


@pytest.fixture
def place(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with running_sandbox() as sandbox:
        clock = f"{sandbox.url}/_sandbox/clock"
        linked = settings.model_copy(update={"stripe_api_base": sandbox.url, "clock_url": clock})
        monkeypatch.setenv("FLUX_CLOCK_URL", clock)
        place = Place(sandbox, linked, tmp_path / "client")
        yield place
        place.flux.shutdown(0)
        place.running.close()
        # Whether a key may read Stripe's entitlements is asked, though the sandbox may have none.
        asked = [each["path"] for each in sandbox.violations()]
        assert [path for path in asked if not path.startswith("/v1/entitlements/")] == []


@pytest.mark.parametrize("server_is_there", [True, False])
def test_a_trial_ends_in_the_worker_when_the_clock_is_advanced(place: Place, server_is_there: bool) -> None:
    place.subscribe(trial_period_days=14, cancel_at_period_end=True)
    if not server_is_there:
        place.running.close()

    place.sandbox.advance(20 * DAY)

    wait_until(lambda: not place.is_entitled(), "the trial is over")


def test_the_server_reads_what_became_of_a_subscription_when_its_time_has_come(place: Place) -> None:
    place.subscribe(trial_period_days=14)

    def status() -> str:
        (known,) = place.server.read(lambda connection: list_subscriptions(connection, "test", "acme"))
        return known.status

    before = status()
    place.sandbox.advance(20 * DAY)

    wait_until(lambda: status() == "active", "the subscription that is paid for is read")
    assert before == "trialing"
    wait_until(place.is_entitled, "the worker knows")


def test_a_webhook_signed_by_the_wall_is_taken_a_month_ahead_of_it(place: Place) -> None:
    subscription = place.subscribe()
    place.sandbox.advance(10 * DAY)

    place.stripe.subscriptions.cancel(subscription)

    wait_until(lambda: not place.is_entitled(), "the end is known")
    deliveries = place.sandbox.http.get("/_sandbox/deliveries?wait=20").json()["data"]
    assert "customer.subscription.deleted" in {attempt["type"] for attempt in deliveries}
    assert {attempt["status"] for attempt in deliveries} == {200}


def test_usage_is_taken_in_the_month_that_the_sandbox_is_in(place: Place) -> None:
    place.subscribe()
    place.sandbox.advance(40 * DAY)
    wait_until(lambda: place.server.app.state.clock() > time.time() + 39 * DAY, "the server knows")
    wait_until(lambda: place.flux.billing._clock() > time.time() + 39 * DAY, "the worker knows")

    place.flux.billing.record_usage("acme", "calls", 3)

    wait_until(place.flux.flush, "the server takes it")
    with place.server.client() as admin:
        usage = admin.get("/v1/organizations/acme/usage", params={"metric": "calls"}).json()
    assert usage["quantity"] == 3
    assert usage["period_start"] > time.time()


# What is under way while a month passes


async def test_a_reader_that_a_month_overtakes_saves_nothing_twice(world: World) -> None:
    await world.mark(("subscription", "sub_1"))
    async with world.database.write() as connection:
        (claim,) = await claim_due(connection, "test", "subscription", world.clock(), 1)
    world.clock.now += 31 * DAY
    async with world.database.write() as connection:
        (other,) = await claim_due(connection, "test", "subscription", world.clock(), 1)

        assert (await holds(connection, claim), await holds(connection, other)) == (False, True)


async def test_usage_that_a_month_overtakes_on_its_way_to_stripe_is_sent_once(world: World) -> None:
    await subscribe_metered(world)
    await world.use(5, bucket=NOON)
    async with world.database.write() as connection:
        await plan_forwarding(connection, "test", world.clock())
    async with world.database.write() as connection:
        (delivery,) = await claim_deliveries(connection, "test", world.clock(), 10)
    world.clock.now += 31 * DAY

    async with world.database.write() as connection:
        again = await claim_deliveries(connection, "test", world.clock(), 10)
        answered = judge(None, unanswered_before=False)
        await record_outcome(connection, delivery, answered, now=world.clock(), chance=1)

        assert again == ()
        assert await count_outbox(connection, "test") == {"sent": 1}
