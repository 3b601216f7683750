"""The server against localstripe, which others wrote: real subscriptions, real signed webhooks, real sockets.

It is older than prices (a price's id is a plan's), has the billing period on the subscription, and sends no event
when a subscription is updated (stripe.md 4.1).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe as stripe_lib

from flux_server.settings import Settings
from flux_server.stripe.tables import stripe_events
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock, wait_until

API_KEY = "sk_test_12345"
SECRET = "whsec_localtest"
CARD = {
    "type": "card",
    "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2099, "cvc": "123"},
}


class Story:
    """A server linked to localstripe, that sells plan pro; a customer who is organization acme, with a card."""

    def __init__(self, url: str, server: RunningServer) -> None:
        self.url = url
        self.server = server
        self.flux = server.client("admin")
        self.stripe = stripe_lib.StripeClient(API_KEY, base_addresses={"api": url}).v1
        self.webhook_url = self.link()
        self.sell()
        self.customer = self.new_customer()

    def link(self) -> str:
        body = {"api_key": API_KEY, "webhook_secret": SECRET}
        link = self.flux.put("/v1/stripe/link", json=body).raise_for_status().json()
        httpx.post(
            f"{self.url}/_config/webhooks/flux",
            data={"url": link["webhook_url"], "secret": SECRET},
            timeout=30,
        ).raise_for_status()
        return str(link["webhook_url"])

    def sell(self) -> None:
        self.flux.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
        draft = {
            "name": "Pro",
            "kind": "base",
            "prices": [{"price": "pro-monthly"}],
            "grants": [{"feature": "seats", "value": 10, "per_unit": True}],
        }
        self.flux.put("/v1/plans/pro", json=draft).raise_for_status()
        self.flux.post("/v1/plans/pro/publish", json={"existing": "stay"}).raise_for_status()
        product = self.stripe.products.create({"name": "Pro", "type": "service"})
        self.stripe.plans.create(
            {
                "id": "pro-monthly",
                "product": product.id,
                "amount": 4900,
                "currency": "eur",
                "interval": "month",
            }
        )

    def new_customer(self) -> str:
        customer = self.stripe.customers.create({"name": "Acme", "metadata": {"organization_id": "acme"}})
        method: Any = self.stripe.payment_methods.create(CARD)  # type: ignore[arg-type]  # as Stripe takes it
        self.stripe.payment_methods.attach(method.id, {"customer": customer.id})
        self.stripe.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        return customer.id

    def subscribe(self, quantity: int = 2) -> str:
        items: Any = [{"plan": "pro-monthly", "quantity": quantity}]
        return self.stripe.subscriptions.create({"customer": self.customer, "items": items}).id

    def seats(self) -> int:
        answer = self.flux.get("/v1/organizations/acme")
        found = answer.json().get("entitlements", []) if answer.is_success else []
        return int(next((each["value"] for each in found if each["feature"] == "seats"), 0))

    def wait_for_seats(self, expected: int) -> None:
        wait_until(lambda: self.seats() == expected, f"acme has {expected} seats")

    def webhooks(self) -> list[tuple[str, bytes, int]]:
        """Return type, body and number of deliveries of every event that the server has kept."""
        columns = stripe_events.c

        async def read(connection: Any) -> list[tuple[str, bytes, int]]:
            rows = await connection.execute(stripe_events.select().order_by(columns.created_at))
            return [(row.type, row.body, row.deliveries) for row in rows]

        return self.server.read(read)

    def deliver_again(self, kind: str) -> None:
        body = next(body for seen, body, _ in self.webhooks() if seen == kind)
        signature = stripe_lib.WebhookSignature.generate_signature_header(body.decode(), SECRET)
        httpx.post(
            self.webhook_url, content=body, headers={"Stripe-Signature": signature}, timeout=30
        ).raise_for_status()


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run localstripe; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    directory = tmp_path_factory.mktemp("localstripe")
    command = [str(Path(sys.executable).parent / "localstripe"), "--port", str(port), "--from-scratch"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(directory)}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url) or process.poll() is not None, "localstripe answers")
        assert process.poll() is None, (directory / "log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/plans", auth=(API_KEY, ""), timeout=30).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def story(localstripe: str, settings: Settings) -> Iterator[Story]:
    httpx.delete(f"{localstripe}/_config/data").raise_for_status()
    linked = settings.model_copy(update={"stripe_api_base": localstripe})
    with run_server(linked, WallClock()) as server:
        story = Story(localstripe, server)
        yield story
        story.flux.close()


def test_a_subscription_provisions_and_its_end_revokes(story: Story) -> None:
    subscription = story.subscribe(quantity=2)
    story.wait_for_seats(20)

    story.stripe.subscriptions.cancel(subscription)
    story.wait_for_seats(0)

    story.deliver_again("customer.subscription.created")
    story.deliver_again("customer.subscription.created")
    wait_until(
        lambda: ("customer.subscription.created", 3) in [(kind, n) for kind, _, n in story.webhooks()], "kept"
    )
    story.wait_for_seats(0)


def test_a_change_without_a_webhook_is_found_by_a_sync(story: Story) -> None:
    subscription = story.subscribe(quantity=2)
    story.wait_for_seats(20)

    items: Any = [{"plan": "pro-monthly", "quantity": 7}]
    story.stripe.subscriptions.update(subscription, {"items": items})
    story.flux.post("/v1/stripe/sync").raise_for_status()

    story.wait_for_seats(70)


def test_a_deleted_customer_loses_everything(story: Story) -> None:
    story.subscribe()
    story.wait_for_seats(20)

    story.stripe.customers.delete(story.customer)

    story.wait_for_seats(0)


def test_what_ended_while_the_server_was_down_is_found_by_a_sync(story: Story, localstripe: str) -> None:
    subscription = story.subscribe()
    story.wait_for_seats(20)

    elsewhere = {"url": "http://127.0.0.1:1/", "secret": SECRET}
    httpx.post(f"{localstripe}/_config/webhooks/flux", data=elsewhere, timeout=30).raise_for_status()
    story.stripe.subscriptions.cancel(subscription)
    story.flux.post("/v1/stripe/sync").raise_for_status()

    story.wait_for_seats(0)


def test_everything_that_localstripe_sends_is_understood(story: Story) -> None:
    story.subscribe()
    story.wait_for_seats(20)

    kinds = {kind for kind, _, _ in story.webhooks()}

    assert {"customer.created", "customer.subscription.created", "invoice.payment_succeeded"} <= kinds
    assert all(json.loads(body)["api_version"] == "2017-08-15" for _, body, _ in story.webhooks())
