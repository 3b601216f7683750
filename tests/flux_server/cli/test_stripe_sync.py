"""`flux stripe sync` and the sweeps of the API, beside the sandbox over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from flux_sandbox.testing import StripeSandbox
from flux_server.settings import Settings
from tests.flux_server.running import RunningServer, run_server
from tests.flux_server.stripe.conftest import WallClock, wait_until


@pytest.fixture
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def linked(settings: Settings, sandbox: StripeSandbox) -> Iterator[RunningServer]:
    """A server that has read everything from the sandbox and hears of nothing."""
    asking = settings.model_copy(update={"stripe_api_base": sandbox.url})
    with run_server(asking, WallClock()) as server, server.client() as admin:
        link = {"api_key": "rk_test_sandbox", "endpoint": False}
        admin.put("/v1/stripe/link", json=link).raise_for_status()
        wait_until(lambda: sweeps(server)[0]["status"] == "done", "the first sweep ends")
        yield server


def sweeps(server: RunningServer, **query: Any) -> list[dict[str, Any]]:
    with server.client("read") as reader:
        found: list[dict[str, Any]] = reader.get("/v1/stripe/sweeps", params=query).json()["sweeps"]
    return found


def run(server: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}
    env = own | {"FLUX_URL": server.url, "FLUX_API_KEY": server.make_key(), "COLUMNS": "200"}
    command = [sys.executable, "-m", "flux_server", "stripe", "sync", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def subscribe(sandbox: StripeSandbox) -> str:
    v1 = sandbox.client().v1
    product = v1.products.create({"name": "Pro"}).id
    sold = {"product": product, "currency": "eur", "unit_amount": 900, "recurring": {"interval": "month"}}
    price = v1.prices.create(sold).id
    customer = v1.customers.create({"metadata": {"organization_id": "acme"}}).id
    return str(v1.subscriptions.create({"customer": customer, "items": [{"price": price}]}).id)


def test_what_had_drifted_is_printed_and_kept(linked: RunningServer, sandbox: StripeSandbox) -> None:
    name = subscribe(sandbox)

    done = run(linked, "--wait")

    assert done.returncode == 0, done.stderr
    told = [f"subscription {name} of acme: added", "  status: nothing → active"]
    assert done.stdout.splitlines() == [*told, "1 subscriptions read, 1 had drifted."]
    with linked.client("read") as reader:
        report = reader.get(f"/v1/stripe/sweeps/{sweeps(linked)[0]['id']}").json()
    assert [(each["object_id"], each["repair"]) for each in report["drift"]] == [(name, "added")]


def test_without_waiting_it_says_which_sweep_will_read(linked: RunningServer) -> None:
    done = run(linked, "--json")

    sweep = json.loads(done.stdout)
    assert (sweep["reason"], sweep["status"]) == ("asked", "running")
    assert sweep["id"] in {each["id"] for each in sweeps(linked)}


def test_sweeps_are_paged_newest_first(linked: RunningServer) -> None:
    run(linked, "--wait")

    with linked.client("read") as reader:
        first = reader.get("/v1/stripe/sweeps", params={"limit": 1}).json()
        rest = reader.get("/v1/stripe/sweeps", params={"cursor": first["next_cursor"]}).json()
    found = [*first["sweeps"], *rest["sweeps"]]
    assert {each["reason"] for each in found} == {"asked", "linked"}
    assert found == sorted(found, key=lambda each: (each["started_at"], each["id"]), reverse=True)


def test_without_a_link_there_is_nothing_to_sweep(settings: Settings) -> None:
    with run_server(settings) as server:
        done = run(server)

    assert done.returncode == 1
    assert "not linked to Stripe" in done.stderr


def test_what_sweeps_found_is_counted(linked: RunningServer, sandbox: StripeSandbox) -> None:
    subscribe(sandbox)
    run(linked, "--wait")

    with linked.client() as admin:
        assert 'flux_stripe_drift_total{environment="test"} 1.0' in admin.get("/metrics").text
