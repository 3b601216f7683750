from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.flux_server.api.routes import furnish
from tests.flux_server.running import RunningServer

PATH = "/v1/import/organizations"
CSV = {"Content-Type": "text/csv; charset=utf-8"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def load(client: httpx.Client, content: str, headers: dict[str, str] = CSV, **params: Any) -> dict[str, Any]:
    answer = client.post(PATH, content=content.encode(), headers=headers, params=params)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_what_is_imported_is_there_in_the_name_of_the_key(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        furnish(admin)

        answer = load(admin, "id,name,override.sso\nglobex,Globex,deny (unpaid)\nx,,1\n")

        (override,) = admin.get("/v1/organizations/globex/overrides").json()["overrides"]
    assert answer == {
        "created": 1,
        "changed": 0,
        "unchanged": 0,
        "refused": 1,
        "errors": [
            {"row": 3, "field": "override.sso", "detail": "'sso' is boolean: give true or false, not 1"}
        ],
    }
    assert (override["author"], override["reason"]) == ("a test's admin", "unpaid")


def test_a_dry_run_does_nothing(admin: httpx.Client) -> None:
    assert load(admin, '{"id": "acme"}', NDJSON, dry_run=True)["created"] == 1

    assert admin.get("/v1/organizations").json()["organizations"] == []


def test_what_a_customer_pays_is_given_by_an_import(admin: httpx.Client) -> None:
    load(admin, '{"id": "acme", "stripe_customers": ["cus_1", "cus_2"]}', NDJSON)

    (found,) = admin.get("/v1/organizations", params={"query": "cus_2"}).json()["organizations"]
    assert found["id"] == "acme"


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        pytest.param(b"id\na", {"Content-Type": "application/json"}, 415, "unsupported_format", id="json"),
        pytest.param(b"id\na", {}, 415, "unsupported_format", id="no-content-type"),
        pytest.param(b"", CSV, 422, "invalid_file", id="empty"),
        pytest.param(b"id\n" + b"a\n" * 1_001, CSV, 422, "invalid_file", id="too-many-rows"),
        pytest.param(b"id\n\xff", CSV, 422, "invalid_file", id="not-utf-8"),
        pytest.param(b"id\n" + b"a" * 4_300_000, CSV, 413, "body_too_large", id="too-large"),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(
    shared_admin: httpx.Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = shared_admin.post(PATH, content=content, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_empty_file_of_ndjson_changes_nothing(shared_admin: httpx.Client) -> None:
    assert load(shared_admin, "", NDJSON)["errors"] == []


def test_an_export_says_what_it_is(admin: httpx.Client) -> None:
    furnish(admin, "Acme")

    csv = admin.get("/v1/export/organizations", params={"format": "csv"})
    ndjson = admin.get("/v1/export/organizations")

    assert csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert csv.headers["Content-Disposition"] == 'attachment; filename="organizations.csv"'
    assert csv.content.decode("utf-8-sig").splitlines()[1] == "acme,Acme,cus_1,true"
    assert ndjson.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert ndjson.json()["overrides"][0]["author"] == "Acme"


def test_an_organization_may_be_called_export_or_import(admin: httpx.Client) -> None:
    for name in ("export", "import"):
        admin.put(f"/v1/organizations/{name}", json={"name": "Shipping"}).raise_for_status()

        assert admin.get(f"/v1/organizations/{name}").json()["name"] == "Shipping"
