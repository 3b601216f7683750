from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.flux_server.api.routes import furnish
from tests.flux_server.running import NOON, RunningServer


def entries(client: httpx.Client, path: str = "/v1/history", **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(path, params=params).raise_for_status().json()["entries"]
    return found


def test_a_change_says_who_when_what_and_from_what_to_what(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        admin.put("/v1/organizations/acme", json={"name": "Acme"}).raise_for_status()
        server_on_each.clock.now = NOON + 9
        admin.put("/v1/organizations/acme", json={"name": "ACME"}).raise_for_status()

        renamed, made = entries(admin, "/v1/organizations/acme/history")

    assert (renamed["at"], renamed["kind"], renamed["subject"]) == (NOON + 9, "organization", "acme")
    assert renamed["actor"].startswith("API key a test's admin (flux_test_")
    assert renamed["changes"] == [{"path": "name", "before": "Acme", "after": "ACME"}]
    assert made["changes"] == [{"path": "name", "before": None, "after": "Acme"}]


def test_everything_of_an_organization_is_told(admin: httpx.Client) -> None:
    override = furnish(admin).override

    customer, record, name = entries(admin, "/v1/organizations/acme/history")

    assert customer["changes"] == [{"path": "stripe_customers[cus_1]", "before": None, "after": "cus_1"}]
    assert {"path": f"overrides[{override}].value", "before": None, "after": True} in record["changes"]
    assert [each["kind"] for each in (customer, record, name)] == ["customers", "record", "organization"]


def test_only_some_kinds_can_be_asked_for(admin: httpx.Client) -> None:
    furnish(admin)

    assert {entry["kind"] for entry in entries(admin, kind=["feature", "plan"])} == {"feature", "plan"}
    assert entries(admin, "/v1/organizations/acme/history", kind="plan") == []
    assert {entry["kind"] for entry in entries(admin)} >= {"settings", "organization", "customers", "metric"}


def test_pages_lead_through_all_of_it_once(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        for number in range(7):
            admin.put("/v1/organizations/acme", json={"name": str(number)}).raise_for_status()
        seen, cursor = [], ""
        while cursor is not None:
            params: dict[str, str | int] = {"limit": 3, "cursor": cursor}
            page = admin.get("/v1/organizations/acme/history", params=params).json()
            seen.append([entry["changes"][0]["after"] for entry in page["entries"]])
            cursor = page["next_cursor"]

    assert seen == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


@pytest.mark.parametrize("params", [{"cursor": "YWNtZQ=="}, {"cursor": "é"}, {"kind": "magic"}, {"limit": 0}])
@pytest.mark.parametrize("path", ["/v1/history", "/v1/organizations/acme/history"])
def test_what_cannot_be_asked_is_refused(
    shared_admin: httpx.Client, path: str, params: dict[str, str]
) -> None:
    shared_admin.put("/v1/organizations/acme", json={}).raise_for_status()

    assert shared_admin.get(path, params=params).status_code == 422
