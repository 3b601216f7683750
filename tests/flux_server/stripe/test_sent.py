"""What the connector sends, held against the sandbox's tables and against the types of Stripe's own package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flux_server.settings import Settings
from tests.flux_sandbox.running import RunningSandbox, running_sandbox
from tests.flux_sandbox.sent import Sent
from tests.flux_server.running import run_server
from tests.flux_server.stripe.conftest import WallClock, wait_until
from tests.flux_server.stripe.test_sandbox import Story


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def sandbox(sent: Sent) -> Iterator[RunningSandbox]:
    with running_sandbox(hold=sent.hold) as running:
        yield running


def test_linking_selling_and_metering_send_what_stripe_takes(
    sent: Sent, sandbox: RunningSandbox, settings: Settings
) -> None:
    linked = settings.model_copy(update={"stripe_api_base": sandbox.url})
    with run_server(linked, WallClock()) as server:
        story = Story(sandbox.url, server)
        subscription = story.subscribe()
        wait_until(story.is_entitled, "the gate opens", seconds=10)
        story.use(90)
        story.forward()
        wait_until(lambda: story.metered() == 90, "the meter says 90")
        story.stripe.subscriptions.cancel(subscription)
        wait_until(lambda: not story.is_entitled(), "the gate closes", seconds=10)
        story.flux.close()

    by_the_connector = {"GET /v1/account", "GET /v1/subscriptions", "POST /v1/billing/meter_events"}
    assert by_the_connector <= sent.paths()
    assert (sent.objections(), sandbox.violations()) == ([], [])
