"""Pages lead through a list once, whatever happens to it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from flux_server.api.pages import cursor_after
from tests.flux_server.running import RunningServer

LISTS = ["features", "metrics", "plans", "api-keys"]
EVERY_LIST = pytest.mark.parametrize("name", LISTS)


def add(admin: httpx.Client, name: str, key: str) -> None:
    if name == "api-keys":
        admin.post("/v1/api-keys", json={"name": key, "scope": "sdk"}).raise_for_status()
        return
    body = {"kind": "boolean"} if name == "features" else {}
    admin.put(f"/v1/{name}/{key}", json=body).raise_for_status()


def pages(admin: httpx.Client, name: str, limit: int) -> Iterator[list[str]]:
    """Go through the list; what is in it is known by its key, or its name."""
    cursor = ""
    while cursor is not None:
        page = admin.get(f"/v1/{name}", params={"cursor": cursor, "limit": limit}).raise_for_status().json()
        yield [one.get("key") or one["name"] for one in page[name.replace("-", "_")]]
        cursor = page["next_cursor"]


@EVERY_LIST
def test_pages_lead_through_the_whole_list_in_order(server_on_each: RunningServer, name: str) -> None:
    with server_on_each.client("admin") as admin:
        for number in range(6):
            server_on_each.clock.now += 1
            add(admin, name, f"k{number}")

        found = list(pages(admin, name, 3))

    keys = [f"k{number}" for number in range(6)]
    if name == "api-keys":  # newest first, and the client's own is the oldest
        assert [*found[0], *found[1]] == keys[::-1]
        assert len(found[2]) == 1
    else:
        assert found == [keys[:3], keys[3:]]


def test_keys_of_one_second_are_all_found(admin: httpx.Client) -> None:
    for number in range(4):
        add(admin, "api-keys", f"k{number}")

    found = [name for page in pages(admin, "api-keys", 2) for name in page]

    assert sorted(found)[1:] == ["k0", "k1", "k2", "k3"]
    assert len(found) == 5


@pytest.mark.parametrize("name", LISTS[:3])
def test_what_is_added_meanwhile_moves_nothing(admin: httpx.Client, name: str) -> None:
    for key in ("b", "d", "f", "h"):
        add(admin, name, key)

    going = pages(admin, name, 2)
    first = next(going)
    for key in ("a", "c", "e"):
        add(admin, name, key)

    assert [first, *going] == [["b", "d"], ["e", "f"], ["h"]]


@EVERY_LIST
@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("k1", id="a-key"),
        pytest.param("!!!!", id="another-alphabet"),
        pytest.param(cursor_after("k1")[:-4], id="cut-off"),
        pytest.param(cursor_after("k1").swapcase(), id="mistyped"),
        pytest.param("AAAA", id="short"),
        pytest.param("A" * 1_001, id="long"),
    ],
)
def test_a_mangled_cursor_is_refused(shared_admin: httpx.Client, name: str, cursor: str) -> None:
    answer = shared_admin.get(f"/v1/{name}", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["detail"].startswith("query.cursor: ")


def test_a_cursor_of_another_list_is_refused(shared_admin: httpx.Client) -> None:
    answer = shared_admin.get("/v1/api-keys", params={"cursor": cursor_after("k1")})

    assert answer.status_code == 422


@EVERY_LIST
@pytest.mark.parametrize("limit", ["0", "501", "-1", "many", ""])
def test_a_page_holds_1_to_500(shared_admin: httpx.Client, name: str, limit: str) -> None:
    answer = shared_admin.get(f"/v1/{name}", params={"limit": limit})

    assert answer.status_code == 422
    assert "query.limit" in answer.json()["detail"]
