"""What an organization is entitled to and why, now and at any other moment, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.flux_server.api.routes import furnish
from tests.flux_server.running import NOON, RunningServer

HOUR = 3_600


@pytest.fixture
def acme(server_on_each: RunningServer) -> Iterator[httpx.Client]:
    """One seat for everybody since NOON; ten for acme from an hour later until two hours later, which is now."""
    with server_on_each.client("admin") as admin:
        furnish(admin)
        admin.put(
            "/v1/features/seats", json={"kind": "limit", "metric": "calls", "reset": "day"}
        ).raise_for_status()
        plan = {"name": "Pro", "grants": [{"feature": "seats", "value": 1}]}
        admin.put("/v1/plans/pro", json=plan).raise_for_status()
        admin.post("/v1/plans/pro/publish", json={"existing": "migrate"}).raise_for_status()
        server_on_each.clock.now = NOON + HOUR
        override = {
            "feature": "seats",
            "effect": "set",
            "value": 10,
            "until": NOON + 3 * HOUR,
            "reason": "pilot",
        }
        admin.post("/v1/organizations/acme/overrides", json=override).raise_for_status()
        server_on_each.clock.now = NOON + 3 * HOUR
        yield admin


def explained(client: httpx.Client, at: object = None, feature: str = "seats") -> dict[str, Any]:
    params = {} if at is None else {"at": str(at)}
    answer = client.get(f"/v1/organizations/acme/entitlements/{feature}", params=params)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(NOON, 1, id="before"),
        pytest.param(NOON + HOUR - 1, 1, id="just-before"),
        pytest.param(NOON + HOUR, 10, id="since"),
        pytest.param("2025-10-09T14:30:00Z", 10, id="while"),
        pytest.param(NOON + 3 * HOUR, 1, id="over"),
        pytest.param(None, 1, id="now"),
        pytest.param("2030-01-01", 1, id="ahead"),
    ],
)
def test_a_feature_is_explained_as_of_any_moment(acme: httpx.Client, at: object, value: int) -> None:
    found = explained(acme, at)

    assert (found["value"], found["entitled"]) == (value, True)
    assert found["summary"].startswith(f"acme is entitled to seats: {value}")
    assert sum(reason["counted"] for reason in found["reasons"]) == 1


def test_what_does_not_count_says_why(acme: httpx.Client) -> None:
    default, override = explained(acme)["reasons"]

    assert (default["kind"], default["counted"], default["verdict"]) == ("default_plan", True, "counted")
    assert (override["counted"], override["verdict"], override["note"]) == (False, "expired", "pilot")
    assert override["sentence"].endswith("not counted, for it has expired since 2025-10-09 15:00:00 UTC")


def test_a_metered_limit_says_how_and_over_which_period(acme: httpx.Client) -> None:
    found = explained(acme)

    assert found["enforcement"] == "hard"
    assert found["period"] == {"start": NOON - 12 * HOUR, "end": NOON + 12 * HOUR}
    assert (found["until"], found["as_of"]) == (NOON + 12 * HOUR, NOON + 3 * HOUR)


def test_what_nothing_grants_is_explained_too(acme: httpx.Client) -> None:
    acme.put("/v1/features/audit", json={"kind": "boolean"}).raise_for_status()

    found = explained(acme, feature="audit")

    assert (found["entitled"], found["value"], found["reasons"]) == (False, False, [])
    assert found["summary"] == "acme is not entitled to audit"


def test_an_organization_is_answered_as_of_any_moment(acme: httpx.Client) -> None:
    then = acme.get("/v1/organizations/acme", params={"at": NOON + HOUR}).json()

    assert then["as_of"] == NOON + HOUR
    assert {each["feature"]: each["value"] for each in then["entitlements"]} == {"seats": 10, "sso": True}
    assert then["until"] == NOON + 3 * HOUR
    assert then["usage"] == []


def test_before_anything_was_there_nobody_was_entitled(acme: httpx.Client) -> None:
    found = acme.get("/v1/organizations/acme", params={"at": NOON - 1}).json()

    assert found["entitlements"] == []
    assert acme.get(f"/v1/organizations/acme/entitlements/seats?at={NOON - 1}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/organizations/acme", "/v1/organizations/acme/entitlements/seats"])
@pytest.mark.parametrize("at", ["", "soon", "-2h", "1e400", "2025-02-30", "9" * 60])
def test_what_is_no_moment_is_refused(shared_admin: httpx.Client, path: str, at: str) -> None:
    answer = shared_admin.get(path, params={"at": at})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_moment")
