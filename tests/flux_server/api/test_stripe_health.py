from __future__ import annotations

import httpx

from flux_server.stripe.checks import CHECKS
from flux_server.stripe.link import pause_link
from tests.flux_server.api.test_operations import samples
from tests.flux_server.dashboard.test_stripe import server
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.conftest import KEY, SECRET, running_double, stripe, wait_until
from tests.flux_server.stripe.test_webhooks import BODY, sign

__all__ = ["running_double", "server", "stripe"]  # fixtures


def send(link: httpx.Response, signature: str) -> int:
    return httpx.post(
        link.json()["webhook_url"], content=BODY, headers={"Stripe-Signature": signature}, timeout=30
    ).status_code


def test_health_says_what_came_and_what_is_wrong(server: RunningServer, admin: httpx.Client) -> None:
    link = admin.put("/v1/stripe/link", json={"api_key": KEY, "webhook_secret": SECRET}).raise_for_status()
    assert send(link, sign(BODY)) == 200
    server.write(lambda connection: pause_link(connection, "test", "the key was rolled"))

    found = admin.get("/v1/stripe/health").raise_for_status().json()

    assert (found["at"], found["status"], found["level"]) == (NOON, "paused", "problem")
    assert (found["heard"]["last_id"], found["heard"]["hour"]) == ("evt_1", 1)
    assert [each["check"] for each in found["findings"]] == list(CHECKS)
    assert "the key was rolled" in found["findings"][0]["message"]


def test_refused_webhooks_come_to_be_seen_without_being_asked_for(
    server: RunningServer, admin: httpx.Client
) -> None:
    link = admin.put("/v1/stripe/link", json={"api_key": KEY, "webhook_secret": SECRET}).raise_for_status()

    assert send(link, "garbage") == 400

    wait_until(
        lambda: admin.get("/v1/stripe/health").json()["heard"]["refused"] == 1, "the refusal was written down"
    )


def test_metrics_say_how_each_link_stands(server: RunningServer, admin: httpx.Client) -> None:
    link = admin.put("/v1/stripe/link", json={"api_key": KEY, "webhook_secret": SECRET}).raise_for_status()
    for signature in (sign(BODY), sign(BODY), "garbage"):
        send(link, signature)

    found = samples(server)

    for outcome in ("received", "duplicate", "refused"):
        assert found[f"flux_stripe_webhook_{outcome}_total", "test", ""] == 1
    assert found["flux_stripe_paused", "test", ""] == 0
    assert ("flux_stripe_paused", "live", "") not in found

    admin.delete("/v1/stripe/link").raise_for_status()
    assert ("flux_stripe_paused", "test", "") not in samples(server)
