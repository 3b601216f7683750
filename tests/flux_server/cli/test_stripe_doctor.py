"""What looks after the link to Stripe from a terminal, beside the sandbox over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from flux_server.settings import Settings
from tests.flux_sandbox.running import RunningSandbox, running_sandbox
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock, wait_until

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def linked(settings: Settings, sandbox: RunningSandbox) -> Iterator[RunningServer]:
    """A server that is linked to the sandbox and hears of its events."""
    asking = settings.model_copy(update={"stripe_api_base": sandbox.url})
    with run_server(asking, WallClock()) as server, server.client() as admin:
        admin.put("/v1/stripe/link", json={"api_key": "rk_test_sandbox"}).raise_for_status()
        yield server
        admin.delete("/v1/stripe/link").raise_for_status()


@pytest.fixture
def run(linked: RunningServer) -> Command:
    """Runs `flux stripe …` with an admin key of the environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}
    env = own | {"FLUX_URL": linked.url, "FLUX_API_KEY": linked.make_key(), "COLUMNS": "200"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flux_server", "stripe", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    return run


def heard(server: RunningServer, about: str) -> list[str]:
    """Return the ids of the events about this, once there is one."""
    found: list[str] = []

    def look() -> bool:
        answer = admin.get("/v1/stripe/events", params={"query": about}).raise_for_status()
        found[:] = [event["id"] for event in answer.json()["events"]]
        return bool(found)

    with server.client() as admin:
        wait_until(look, "an event came")
    return found


def test_events_are_replayed_by_their_ids(
    linked: RunningServer, sandbox: RunningSandbox, run: Command
) -> None:
    customer = sandbox.stripe.v1.customers.create({"metadata": {"organization_id": "acme"}}).id
    (event,) = heard(linked, customer)

    done = run("replay", event)

    assert (done.returncode, done.stdout) == (0, f"{event}: customer {customer}\n")


def test_an_event_that_never_came_cannot_be_replayed(run: Command) -> None:
    done = run("replay", "evt_9")

    assert done.returncode == 1
    assert "there is no event 'evt_9' here" in done.stderr


def test_the_doctor_says_that_all_is_well(run: Command) -> None:
    done = run("doctor")

    assert done.returncode == 0
    assert "ok      The key: it works, and may read all that is needed\n" in done.stdout
    assert "PROBLEM" not in done.stdout


def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(sandbox: RunningSandbox, run: Command) -> None:
    (endpoint,) = sandbox.stripe.v1.webhook_endpoints.list().data
    sandbox.stripe.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})

    done = run("doctor")
    answer = json.loads(run("doctor", "--json").stdout)

    assert done.returncode == 1
    assert "PROBLEM The webhook endpoint: " in done.stdout
    assert "\n         enable it in Stripe\n" in done.stdout
    assert answer["level"] == "problem"
    (found,) = [each for each in answer["findings"] if each["check"] == "endpoint"]
    assert (found["level"], found["fix"]) == ("problem", "enable it in Stripe")
