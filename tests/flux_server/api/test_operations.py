from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.flux_server.api.routes import furnish
from tests.flux_server.running import RunningServer


def samples(server: RunningServer) -> dict[tuple[str, str, str], float]:
    """Return the server's own metrics by name, environment and log."""
    text = httpx.get(f"{server.url}/metrics", timeout=30).text
    return {
        (sample.name, sample.labels.get("environment", ""), sample.labels.get("log", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_whoever_asks_is_told_that_the_server_is_well(server: RunningServer) -> None:
    answer = httpx.get(f"{server.url}/healthz", timeout=30)

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_metrics_say_how_far_each_environment_has_come(server: RunningServer, admin: httpx.Client) -> None:
    furnish(admin)

    found = samples(server)

    assert found["flux_revision", "test", "changes"] == admin.get("/v1/environment").json()["revision"]
    assert found["flux_revision", "test", "usage"] == 1
    assert found["flux_revision", "live", "changes"] == 0
    assert found["flux_usage_slots_total", "test", ""] == 1


def test_metrics_are_in_a_format_that_prometheus_takes(server: RunningServer) -> None:
    answer = httpx.get(f"{server.url}/metrics", timeout=30)

    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert len(list(text_string_to_metric_families(answer.text))) >= 4
