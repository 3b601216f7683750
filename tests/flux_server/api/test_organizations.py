from __future__ import annotations

import httpx
import pytest

from tests.flux_server.api.routes import furnish
from tests.flux_server.running import NOON, RunningServer


@pytest.fixture(scope="module")
def furnished(shared_admin: httpx.Client) -> httpx.Client:
    furnish(shared_admin)
    return shared_admin


def names(page: dict[str, list[dict[str, object]]]) -> list[object]:
    return [organization["id"] for organization in page["organizations"]]


def test_an_organization_is_answered_with_what_it_may_and_why(admin: httpx.Client) -> None:
    furnish(admin)
    until = {"feature": "sso", "effect": "deny", "until": NOON + 60, "author": "ann", "reason": "unpaid"}
    admin.post("/v1/organizations/acme/overrides", json=until).raise_for_status()

    found = admin.get("/v1/organizations/acme").json()

    (entitlement,) = found["entitlements"]
    assert (entitlement["feature"], entitlement["value"], entitlement["until"]) == ("sso", False, NOON + 60)
    assert [reason["kind"] for reason in entitlement["reasons"]][-1] == "override"
    assert entitlement["reasons"][-1]["author"] == "ann"
    assert entitlement["reasons"][-1]["note"] == "unpaid"
    assert found["usage"] == [{"metric": "calls", "period_start": 1_759_276_800, "quantity": 7}]


def test_an_override_that_is_removed_is_over(admin: httpx.Client) -> None:
    furnish(admin)
    deny = admin.post("/v1/organizations/acme/overrides", json={"feature": "sso", "effect": "deny"}).json()

    admin.delete(f"/v1/organizations/acme/overrides/{deny['id']}").raise_for_status()

    assert admin.get("/v1/organizations/acme").json()["entitlements"][0]["value"] is True


def test_without_a_name_the_name_stays(admin: httpx.Client) -> None:
    admin.put("/v1/organizations/acme", json={"name": "Acme"}).raise_for_status()

    assert admin.put("/v1/organizations/acme", json={}).json()["name"] == "Acme"


def test_pages_lead_through_all_organizations_once(server_on_each: RunningServer) -> None:
    ids = sorted(f"org-{number:02}/ü" for number in range(7))
    with server_on_each.client("admin") as admin:
        for organization in reversed(ids):
            path = httpx.URL("/v1/organizations/").join(organization.replace("/", "%2F"))
            admin.put(path, json={}).raise_for_status()
        found, cursor = [], ""
        while cursor is not None:
            page = admin.get("/v1/organizations", params={"limit": 3, "cursor": cursor}).json()
            found.append(names(page))
            cursor = page["next_cursor"]

    assert found == [ids[:3], ids[3:6], ids[6:]]


def test_a_query_finds_parts_of_ids_and_names(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        for path, name in (("ACME", ""), ("100%25", ""), ("b_b", "Blue Beret")):
            admin.put(f"/v1/organizations/{path}", json={"name": name}).raise_for_status()

        found = {
            query: names(admin.get("/v1/organizations", params={"query": query}).json())
            for query in ("", "cme", "%", "_", "blue", "x")
        }

    everybody: list[object] = ["100%", "ACME", "b_b"]
    assert found == {"": everybody, "cme": ["ACME"], "%": ["100%"], "_": ["b_b"], "blue": ["b_b"], "x": []}


@pytest.mark.parametrize(
    "override",
    [
        pytest.param({"feature": "sso", "effect": "set"}, id="no-value"),
        pytest.param({"feature": "sso", "effect": "set", "value": 1}, id="number-for-a-boolean"),
        pytest.param({"feature": "sso", "effect": "deny", "value": True}, id="deny-with-a-value"),
        pytest.param({"feature": "sso", "effect": "deny", "until": NOON}, id="over-already"),
    ],
)
def test_an_override_must_fit_its_feature(admin: httpx.Client, override: dict[str, object]) -> None:
    furnish(admin)

    answer = admin.post("/v1/organizations/acme/overrides", json=override)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_override")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/organizations/nobody", None),
        ("POST", "/v1/organizations/nobody/overrides", {"feature": "sso", "effect": "deny"}),
        ("POST", "/v1/organizations/acme/overrides", {"feature": "magic", "effect": "deny"}),
        ("DELETE", "/v1/organizations/acme/overrides/none", None),
        ("GET", "/v1/organizations/acme/usage?metric=none", None),
    ],
)
def test_what_is_unknown_is_not_found(
    furnished: httpx.Client, method: str, path: str, body: dict[str, object] | None
) -> None:
    answer = furnished.request(method, path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_usage_can_be_read_of_whoever_used_nothing_yet(admin: httpx.Client) -> None:
    furnish(admin)

    answer = admin.get("/v1/organizations/new/usage", params={"metric": "calls"}).json()

    assert answer == {"metric": "calls", "period_start": 1_759_276_800, "quantity": 0}


def test_an_override_says_who_why_how_and_whether_it_is_in_force(server: RunningServer) -> None:
    with server.client("admin") as admin:
        furnish(admin)
        admin.put("/v1/features/calls", json={"kind": "limit", "metric": "calls"}).raise_for_status()
        override = {"feature": "calls", "effect": "set", "value": 5, "since": NOON + 9, "until": NOON + 90}

        made = admin.post(
            "/v1/organizations/acme/overrides", json={**override, "enforcement": "soft", "reason": "pilot"}
        ).json()

        states = []
        for server.clock.now in (NOON, NOON + 9, NOON + 90):
            listed = admin.get("/v1/organizations/acme/overrides").json()["overrides"]
            states += [each["state"] for each in listed if each["id"] == made["id"]]
    assert states == ["upcoming", "in_force", "over"]
    assert made | {"id": ""} == override | {
        "id": "",
        "enforcement": "soft",
        "reason": "pilot",
        "author": "a test's admin",
        "state": "upcoming",
    }


def test_an_organization_has_several_customers_and_is_found_by_each(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        for customer in ("cus_1", "cus_2"):
            admin.put(f"/v1/stripe/customers/{customer}", json={"organization": "acme"}).raise_for_status()

        listed = admin.get("/v1/organizations/acme/stripe-customers").json()["customers"]
        found = [
            names(admin.get("/v1/organizations", params={"query": f"cus_{n}"}).json()) for n in (1, 2, 3)
        ]

    assert [(customer["id"], customer["source"]) for customer in listed] == [
        ("cus_1", "explicit"),
        ("cus_2", "explicit"),
    ]
    assert found == [["acme"], ["acme"], []]


def test_a_customer_that_is_taken_back_is_nobodys(admin: httpx.Client) -> None:
    admin.put("/v1/stripe/customers/cus_1", json={"organization": "acme"}).raise_for_status()

    assert admin.delete("/v1/stripe/customers/cus_1").status_code == 204

    assert admin.get("/v1/organizations/acme/stripe-customers").json()["customers"] == []
    assert admin.delete("/v1/stripe/customers/cus_1").status_code == 404


def test_a_deleted_organization_and_its_name_are_gone(admin: httpx.Client) -> None:
    furnish(admin, "Secret")

    assert admin.delete("/v1/organizations/acme").status_code == 204

    assert admin.get("/v1/organizations/acme").status_code == 404
    assert admin.delete("/v1/organizations/acme").status_code == 404
    assert names(admin.get("/v1/organizations", params={"query": "cus_1"}).json()) == []
    history = admin.get("/v1/history", params={"kind": ["organization", "record", "customers"]})
    assert [entry["changes"] for entry in history.json()["entries"]] == [[]]
