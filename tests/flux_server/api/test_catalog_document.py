from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from flux_server.api.requests import MAX_BODY, MAX_DOCUMENT
from tests.flux_server.catalog.documents import SHOP, edited, plain
from tests.flux_server.running import RunningServer


@pytest.fixture
def shop(admin: httpx.Client) -> httpx.Client:
    """A client of an environment that sells what the shop does."""
    admin.put("/v1/catalog", json=plain(SHOP)).raise_for_status()
    return admin


def test_the_catalog_is_read_as_it_was_put(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        put = admin.put("/v1/catalog", json=plain(SHOP))
        got = admin.get("/v1/catalog")

    assert got.json() == plain(SHOP)
    assert put.headers["ETag"] == got.headers["ETag"] == put.json()["etag"]


def test_what_would_change_is_told_and_nothing_is_written(shop: httpx.Client) -> None:
    before = shop.get("/v1/catalog").headers["ETag"]
    document = edited(SHOP, "plans", "pro", "entitlements", "seats", to=9)

    answer = shop.post("/v1/catalog/diff", json=plain(document)).json()

    field = {"at": ["entitlements", "seats"], "before": {"value": 5, "per_unit": True}, "after": 9}
    change = {"action": "publish", "of": "plan", "key": "pro", "fields": [field], "version": 2}
    more = {"organizations": 0, "is_default": False, "replaces_draft": False}
    assert answer == {"etag": before, "changes": [change | more]}
    assert shop.get("/v1/catalog").headers["ETag"] == before


def test_what_was_put_is_what_the_other_routes_tell(shop: httpx.Client) -> None:
    document = edited(SHOP, "plans", "pro", "entitlements", "seats", to=9)

    shop.put("/v1/catalog", params={"existing": "migrate"}, json=plain(document)).raise_for_status()

    versions = shop.get("/v1/plans/pro").json()["versions"]
    assert [version["replaced_by"] for version in versions] == ["pro@2", None]
    assert shop.get("/v1/default-plan").json() == {"plan": "free"}


def test_a_catalog_that_moved_is_not_overwritten(shop: httpx.Client) -> None:
    seen = {"If-Match": shop.get("/v1/catalog").headers["ETag"]}
    shop.put("/v1/plans/pro", json={"name": "Moved"}).raise_for_status()
    document = plain(edited(SHOP, "plans", "pro", "name", to="Overwritten"))

    refused = shop.put("/v1/catalog", headers=seen, json=document)

    assert (refused.status_code, refused.json()["code"]) == (412, "catalog_moved")
    assert shop.get("/v1/plans/pro").json()["name"] == "Moved"


@pytest.mark.parametrize("tags", ["*", '"another", {}', "{}"])
def test_a_catalog_that_has_one_of_the_tags_is_changed(shop: httpx.Client, tags: str) -> None:
    header = {"If-Match": tags.format(shop.get("/v1/catalog").headers["ETag"])}
    document = plain(edited(SHOP, "plans", "pro", "name", to="Mine"))

    shop.put("/v1/catalog", headers=header, json=document).raise_for_status()

    assert shop.get("/v1/plans/pro").json()["name"] == "Mine"


def test_a_tag_that_is_none_is_refused(shared_admin: httpx.Client) -> None:
    answer = shared_admin.put("/v1/catalog", headers={"If-Match": "abc"}, json={})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/catalog"), ("POST", "/v1/catalog/diff")])
def test_everything_that_is_wrong_is_in_the_problem(
    shared_admin: httpx.Client, method: str, path: str
) -> None:
    document = {"features": {"api.calls": {"kind": "bool"}}, "plans": {"pro": {"prise": []}}}

    problem = shared_admin.request(method, path, json=document).json()

    assert problem["code"] == "invalid_catalog_document"
    assert [error["at"] for error in problem["errors"]] == [
        ["features", "api.calls", "kind"],
        ["plans", "pro", "prise"],
    ]
    assert 'features."api.calls".kind: give "boolean" or "limit"' in problem["detail"]
    assert "did you mean 'price" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[plans.pro]", b'{"plans": "\xff"}', b'{"a": "\\ud800"}', b"[" * 100_000],
    ids=["empty", "cut-off", "toml", "not-utf8", "surrogate", "deep"],
)
def test_what_is_not_json_is_told_so(shared_admin: httpx.Client, body: bytes) -> None:
    answer = shared_admin.put("/v1/catalog", content=body)

    assert answer.status_code == 422
    assert "catalog document as JSON" in answer.json()["detail"]


def test_existing_subscribers_stay_or_migrate_and_nothing_else(shared_admin: httpx.Client) -> None:
    answer = shared_admin.put("/v1/catalog", params={"existing": "vanish"}, json={})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_document_may_be_larger_than_other_bodies(shared_admin: httpx.Client) -> None:
    answer = shared_admin.post("/v1/catalog/diff", content=b" " * MAX_BODY + b"{}")

    assert answer.status_code == 200


def announce(server: RunningServer, size: int, *headers: str) -> str:
    """Say that a body of this size will come, send nothing of it, and return the answer's first line."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        lines = ("PUT /v1/catalog HTTP/1.1", "Host: flux", f"Content-Length: {size}", *headers, "", " ")
        connection.sendall("\r\n".join(lines).encode())
        return connection.makefile().readline()


def test_a_document_that_is_too_large_is_refused_at_its_first_byte(shared_server: RunningServer) -> None:
    key = f"Authorization: Bearer {shared_server.make_key('admin')}"

    assert " 413 " in announce(shared_server, MAX_DOCUMENT + 1, key)


def test_nobody_sends_a_document_without_a_key(shared_server: RunningServer) -> None:
    assert " 401 " in announce(shared_server, MAX_DOCUMENT), "the answer comes before the body"
