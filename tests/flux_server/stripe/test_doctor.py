"""The doctor beside the sandbox over HTTP: what is broken there is found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from flux_server.settings import Settings
from flux_server.stripe.checks import Finding
from flux_server.stripe.doctor import diagnose
from tests.flux_sandbox.running import RunningSandbox, running_sandbox
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock, World, wait_until


@dataclass(frozen=True)
class Practice:
    """A server that is linked to the sandbox, and goes by its clock."""

    sandbox: RunningSandbox
    server: RunningServer
    flux: httpx.Client

    def link(self, **given: Any) -> None:
        self.flux.put("/v1/stripe/link", json=given).raise_for_status()

    def findings(self) -> dict[str, dict[str, str]]:
        """Return what the doctor finds, by the name of the check."""
        answer = self.flux.get("/v1/stripe/doctor").raise_for_status().json()
        return {each["check"]: each for each in answer["findings"]}

    def levels(self) -> dict[str, str]:
        """Return what is not as it should be."""
        return {name: each["level"] for name, each in self.findings().items() if each["level"] != "ok"}

    def endpoint(self) -> str:
        (found,) = self.sandbox.stripe.v1.webhook_endpoints.list().data
        return found.id

    def advance(self, seconds: float) -> None:
        now = self.sandbox.advance(seconds)
        wait_until(lambda: self.server.app.state.clock() >= now, "the server knows")


@pytest.fixture
def practice(settings: Settings) -> Iterator[Practice]:
    with running_sandbox() as sandbox:
        clock = f"{sandbox.url}/_sandbox/clock"
        linked = settings.model_copy(update={"stripe_api_base": sandbox.url, "clock_url": clock})
        with run_server(linked, WallClock()) as server, server.client() as flux:
            practice = Practice(sandbox, server, flux)
            practice.link(api_key="rk_test_sandbox")
            yield practice
        assert sandbox.violations() == []


def test_a_link_that_flux_made_itself_is_well(practice: Practice) -> None:
    practice.sandbox.stripe.v1.customers.create({"metadata": {"organization_id": "acme"}})
    heard = {"type": "customer.created"}
    wait_until(lambda: bool(practice.flux.get("/v1/stripe/events", params=heard).json()["events"]), "it came")
    practice.advance(600)
    wait_until(lambda: practice.levels() == {}, "the first sweep is done, and all is well")

    found = practice.findings()

    assert found["arrival"]["message"] == "each event that Stripe sent lately came (1)"


def test_an_endpoint_that_was_deleted_or_sends_too_little_is_found(practice: Practice) -> None:
    endpoints = practice.sandbox.stripe.v1.webhook_endpoints
    endpoints.update(practice.endpoint(), {"enabled_events": ["invoice.paid"]})
    assert practice.levels()["types"] == "problem"
    assert "customer.subscription.updated" in practice.findings()["types"]["message"]

    endpoints.delete(practice.endpoint())

    assert practice.levels()["endpoint"] == "problem"
    assert "none of the account's 0 endpoints sends to" in practice.findings()["endpoint"]["message"]


def test_a_wrong_secret_is_found_by_what_was_refused_and_what_never_came(practice: Practice) -> None:
    practice.sandbox.stage(f"webhook_endpoints/{practice.endpoint()}/roll", {"expires_in": 0})
    practice.sandbox.stripe.v1.customers.create({})
    wait_until(
        lambda: practice.flux.get("/v1/stripe/health").json()["heard"]["refused"] > 0,
        "the webhook was refused",
    )
    practice.advance(600)

    found = practice.findings()

    assert found["signatures"]["level"] == found["arrival"]["level"] == "problem"
    assert "Wrong secret?" in found["signatures"]["message"]
    assert found["arrival"]["message"].endswith("Wrong secret?")


def test_a_key_that_was_revoked_is_found_and_nothing_else_is_asked(practice: Practice) -> None:
    practice.sandbox.http.delete("/_sandbox/keys/rk_test_sandbox").raise_for_status()

    found = practice.findings()

    assert found["key"]["level"] == "problem"
    assert "Stripe refuses the key" in found["key"]["message"]
    assert not {"endpoint", "clock", "arrival"} & found.keys()


def test_a_permission_that_was_taken_away_is_named(practice: Practice) -> None:
    permissions = [each for each in ALLOWED if each != "rak_webhook_write"]
    made = practice.sandbox.stage("keys", {"permissions": permissions})
    practice.link(api_key=made["key"])

    found = practice.findings()

    assert found["endpoint"]["level"] == "warning"
    assert "rak_webhook" in found["endpoint"]["message"]
    assert found["key"]["level"] == "ok"


ALLOWED = (
    "rak_billing_meter_read",
    "rak_billing_meter_write",
    "rak_checkout_session_read",
    "rak_customer_read",
    "rak_entitlement_read",
    "rak_event_read",
    "rak_invoice_read",
    "rak_plan_read",
    "rak_product_read",
    "rak_subscription_read",
    "rak_webhook_write",
)


async def test_a_clock_that_is_off_is_found(world: World) -> None:
    async def clocks() -> Finding:
        found = (await diagnose(world.connector, "test")).findings
        return next(each for each in found if each.check == "clock")

    world.clock.now = time.time() - 3_600
    slow = await clocks()
    world.clock.now = time.time()

    assert (slow.level, slow.fix) == ("problem", "have it set by NTP")
    assert "behind Stripe's, so every webhook is refused" in slow.message
    assert (await clocks()).level == "ok"


def test_without_a_link_there_is_nothing_to_look_at(server: RunningServer) -> None:
    with server.client() as flux:
        assert flux.get("/v1/stripe/doctor").json()["code"] == "stripe_not_linked"
