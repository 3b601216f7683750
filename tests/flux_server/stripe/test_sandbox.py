"""The server against the sandbox as a process: prices, several items, meters, signed webhooks, real sockets."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe as stripe_lib

from flux_server.settings import Settings
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock, wait_until

API_KEY = "rk_test_sandbox"


class Story:
    """A server linked to the sandbox, that sells plan pro by the month and by the call; customer acme."""

    def __init__(self, url: str, server: RunningServer) -> None:
        self.flux = server.client("admin")
        self.stripe = stripe_lib.StripeClient(API_KEY, base_addresses={"api": url}).v1
        product = self.stripe.products.create({"name": "Pro"}).id
        self.meter = self.stripe.billing.meters.create(
            {
                "display_name": "Calls",
                "event_name": f"calls-{time.monotonic_ns()}",
                "default_aggregation": {"formula": "sum"},
            }
        ).id
        self.monthly = self.price(product, {"interval": "month"}, 4900)
        self.per_call = self.price(
            product, {"interval": "month", "usage_type": "metered", "meter": self.meter}, 1
        )
        self.sell()
        self.link()
        self.customer = self.stripe.customers.create({"metadata": {"organization_id": "acme"}}).id

    def price(self, product: str, recurring: Any, amount: int) -> str:
        return self.stripe.prices.create(
            {"product": product, "currency": "eur", "unit_amount": amount, "recurring": recurring}
        ).id

    def sell(self) -> None:
        self.flux.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
        self.flux.put("/v1/metrics/calls", json={"name": "Calls"}).raise_for_status()
        draft = {
            "name": "Pro",
            "kind": "base",
            "prices": [{"price": self.monthly}, {"price": self.per_call, "metric": "calls"}],
            "grants": [{"feature": "sso", "value": True}],
        }
        self.flux.put("/v1/plans/pro", json=draft).raise_for_status()
        self.flux.post("/v1/plans/pro/publish", json={"existing": "stay"}).raise_for_status()

    def link(self) -> None:
        made = self.flux.put("/v1/stripe/link", json={"api_key": API_KEY}).raise_for_status().json()
        assert made["status"] == "active"

    def subscribe(self) -> str:
        items: Any = [{"price": self.per_call}, {"price": self.monthly}]
        return self.stripe.subscriptions.create({"customer": self.customer, "items": items}).id

    def is_entitled(self) -> bool:
        answer = self.flux.get("/v1/organizations/acme")
        return answer.is_success and any(each["value"] for each in answer.json()["entitlements"])

    def use(self, total: int) -> None:
        """Report what a worker counted in this hour since the subscription began."""
        period = self.flux.get("/v1/organizations/acme/usage", params={"metric": "calls"}).json()
        bucket = max(int(time.time()) // 3600 * 3600, period["period_start"])
        slot = {"organization": "acme", "metric": "calls", "bucket": bucket, "total": total}
        answer = self.flux.post("/v1/usage", json={"source": "worker", "slots": [slot]}).raise_for_status()
        assert answer.json()["errors"] == []

    def forward(self) -> None:
        self.flux.post("/v1/stripe/forward").raise_for_status()

    def metered(self) -> int:
        minute = int(time.time()) // 60 * 60
        summaries = self.stripe.billing.meters.event_summaries.list(
            self.meter,
            {"customer": self.customer, "start_time": minute - 86_400, "end_time": minute + 3_600},
        )
        return int(sum(summary.aggregated_value for summary in summaries.data))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    """Run the sandbox; return its address."""
    command = [sys.executable, "-m", "flux_sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "listening on http" in line:
                    yield line.split()[-1]
                    break
        finally:
            process.terminate()


@pytest.fixture
def story(sandbox: str, settings: Settings) -> Iterator[Story]:
    linked = settings.model_copy(update={"stripe_api_base": sandbox})
    with run_server(linked, WallClock()) as server:
        story = Story(sandbox, server)
        yield story
        story.flux.close()
    violations = httpx.get(f"{sandbox}/_sandbox/violations", timeout=30).raise_for_status().json()
    # Whether a key may read Stripe's entitlements is asked, though the sandbox may have none.
    asked = [each for each in violations["data"] if not each["path"].startswith("/v1/entitlements/")]
    assert asked == []


def test_a_subscription_opens_and_its_end_closes(story: Story) -> None:
    assert not story.is_entitled()

    subscription = story.subscribe()
    wait_until(story.is_entitled, "the gate opens", seconds=5)

    story.stripe.subscriptions.cancel(subscription)
    wait_until(lambda: not story.is_entitled(), "the gate closes", seconds=5)


def test_a_customer_that_names_its_organization_later_provisions_then(story: Story) -> None:
    story.customer = story.stripe.customers.create({"name": "Acme"}).id
    story.subscribe()

    story.stripe.customers.update(story.customer, {"metadata": {"organization_id": "acme"}})

    wait_until(story.is_entitled, "the gate opens", seconds=5)


def test_usage_arrives_at_the_meter_exactly(story: Story) -> None:
    story.subscribe()
    wait_until(story.is_entitled, "the gate opens", seconds=5)

    for total in (90, 90, 100):
        story.use(total)
        story.forward()

    wait_until(lambda: story.metered() == 100, "the meter says 100")
