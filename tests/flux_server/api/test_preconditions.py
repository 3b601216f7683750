"""Of two editors who have read the same, one wins and the other is told; what has not changed is not sent again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from flux_server.api.policies import PolicyBody
from flux_server.api.preconditions import entity_tag
from tests.flux_server.api.routes import furnish
from tests.flux_server.running import NOON, RunningServer

THINGS = {
    "/v1/features/sso": {"kind": "boolean"},
    "/v1/metrics/calls": {},
    "/v1/plans/pro": {},
    "/v1/default-plan": {"plan": "pro"},
    "/v1/policy": {"grace": 60},
}
CHANGES = {
    "/v1/features/sso": {"kind": "boolean", "name": "Single sign-on"},
    "/v1/metrics/calls": {"name": "Calls"},
    "/v1/plans/pro": {"name": "Pro"},
    "/v1/default-plan": {"plan": None},
    "/v1/policy": {"grace": 61},
}
EVERY_THING = pytest.mark.parametrize("path", THINGS)
OLD = '"old"'


@pytest.fixture
def shop(admin: httpx.Client) -> httpx.Client:
    """A client of an environment that has all these things."""
    furnish(admin)
    return admin


def tag(client: httpx.Client, path: str) -> str:
    return client.get(path).raise_for_status().headers["ETag"]


@EVERY_THING
def test_a_tag_tells_whether_something_has_changed(shop: httpx.Client, path: str) -> None:
    before = tag(shop, path)

    same = tag(shop, path)
    put = shop.put(path, json=CHANGES[path]).raise_for_status().headers["ETag"]

    assert same == before
    assert put == tag(shop, path) != before
    assert not before.startswith("W/")


@EVERY_THING
def test_what_is_known_already_is_not_sent_again(shop: httpx.Client, path: str) -> None:
    etag = tag(shop, path)

    known, weakened, unknown = (
        shop.get(path, headers={"If-None-Match": tags}) for tags in (f"{OLD}, {etag}", f"W/{etag}", OLD)
    )

    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    assert (weakened.status_code, unknown.status_code) == (304, 200)
    assert known.headers["Cache-Control"] == unknown.headers["Cache-Control"] == "private, no-cache"
    assert known.headers["Vary"] == "Authorization"


@EVERY_THING
def test_an_edit_of_what_has_changed_is_refused_and_told_what_it_is(shop: httpx.Client, path: str) -> None:
    etag = tag(shop, path)

    refused = shop.put(path, json=CHANGES[path], headers={"If-Match": OLD})
    weak = shop.put(path, json=CHANGES[path], headers={"If-Match": f"W/{etag}"})

    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert refused.json()["etag"] == refused.headers["ETag"] == tag(shop, path) == etag
    assert weak.status_code == 412
    assert shop.put(path, json=CHANGES[path], headers={"If-Match": f"{OLD}, {etag}"}).status_code == 200
    assert shop.put(path, json=CHANGES[path], headers={"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [
        pytest.param("POST", "/archive", None, id="archive"),
        pytest.param("POST", "/restore", None, id="restore"),
        pytest.param("POST", "/publish", {"existing": "stay"}, id="publish"),
        pytest.param("PUT", "/policy", {"grace": 60}, id="policy"),
        pytest.param("DELETE", "/policy", None, id="no-policy"),
    ],
)
def test_every_edit_of_a_plan_can_be_made_for_the_plan_as_it_was_read(
    shop: httpx.Client, method: str, action: str, body: object
) -> None:
    shop.put("/v1/default-plan", json={"plan": None}).raise_for_status()
    shop.put("/v1/plans/pro", json={"grants": []}).raise_for_status()
    path = f"/v1/plans/pro{action}"

    refused = shop.request(method, path, json=body, headers={"If-Match": OLD})
    done = shop.request(method, path, json=body, headers={"If-Match": tag(shop, "/v1/plans/pro")})

    assert (refused.status_code, refused.json()["etag"]) == (412, refused.headers["ETag"])
    assert done.status_code < 300


@pytest.mark.parametrize("what", ["features/sso", "metrics/calls"])
@pytest.mark.parametrize("action", ["archive", "restore"])
def test_archiving_can_be_made_for_what_was_read(shop: httpx.Client, what: str, action: str) -> None:
    path = f"/v1/{what}"

    refused = shop.post(f"{path}/{action}", headers={"If-Match": OLD})
    done = shop.post(f"{path}/{action}", headers={"If-Match": tag(shop, path)})

    assert (refused.status_code, done.status_code) == (412, 200)
    assert done.headers["ETag"] == tag(shop, path)


@pytest.mark.parametrize("path", ["/v1/features/new", "/v1/metrics/new", "/v1/plans/new"])
def test_what_is_made_for_nothing_is_made_once(admin: httpx.Client, path: str) -> None:
    body = {"kind": "boolean"} if "features" in path else {}

    absent = admin.put(path, json=body, headers={"If-Match": "*"})
    made, again = (admin.put(path, json=body, headers={"If-None-Match": "*"}) for _ in range(2))

    assert (absent.status_code, absent.json()["detail"]) == (412, "If-Match: there is none")
    assert (made.status_code, again.status_code) == (200, 412)
    assert again.json()["etag"] == made.headers["ETag"]
    assert admin.put(path, json=body, headers={"If-Match": "*"}).status_code == 200


def test_what_is_not_there_is_not_found_whatever_it_was_read_as(admin: httpx.Client) -> None:
    answer = admin.post("/v1/plans/none/archive", headers={"If-Match": OLD})

    assert answer.status_code == 404


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("tags", ["unquoted", '"open', '"a" "b"', '"a",', "", '*, "a"'])
def test_what_is_no_tag_is_refused(admin: httpx.Client, header: str, tags: str) -> None:
    answer = admin.put("/v1/metrics/calls", json={}, headers={header: tags})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["detail"].startswith(f"header.{header}: send the `ETag`")


def test_of_many_editors_at_once_one_wins(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin, ThreadPoolExecutor(8) as pool:
        admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
        for round_ in range(4):
            headers = {**admin.headers, "If-Match": tag(admin, "/v1/features/sso")}

            def edit(editor: int, headers: dict[str, str] = headers, round_: int = round_) -> int:
                body = {"kind": "boolean", "name": f"{round_} {editor}"}
                url = f"{server_on_each.url}/v1/features/sso"
                return httpx.put(url, json=body, headers=headers, timeout=30).status_code

            assert sorted(pool.map(edit, range(8))) == [200] + [412] * 7


def test_a_request_that_comes_again_is_answered_though_it_has_changed_its_own_precondition(
    shop: httpx.Client,
) -> None:
    headers = {"If-Match": tag(shop, "/v1/features/sso"), "Idempotency-Key": "once"}

    first, again = (
        shop.put("/v1/features/sso", json={"kind": "boolean", "name": "new"}, headers=headers)
        for _ in range(2)
    )

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["ETag"] == first.headers["ETag"] == tag(shop, "/v1/features/sso")


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        pytest.param("PUT", "", {"name": "Acme Ltd"}, id="name"),
        pytest.param("POST", "/overrides", {"feature": "sso", "effect": "deny"}, id="exception"),
        pytest.param("DELETE", "/overrides/{}", None, id="no-exception"),
        pytest.param("DELETE", "", None, id="forgotten"),
    ],
)
def test_an_organization_is_edited_as_it_was_read_though_it_uses_more(
    admin: httpx.Client, method: str, below: str, body: object
) -> None:
    names = furnish(admin)
    path = f"/v1/organizations/acme{below.format(names.override)}"
    etag = tag(admin, "/v1/organizations/acme")
    slot = {"organization": "acme", "metric": "calls", "bucket": NOON, "total": 8}
    admin.post("/v1/usage", json={"source": "s", "slots": [slot]}).raise_for_status()

    used = tag(admin, "/v1/organizations/acme")
    refused = admin.request(method, path, json=body, headers={"If-Match": OLD})
    done = admin.request(method, path, json=body, headers={"If-Match": etag})

    assert used != etag
    assert (refused.status_code, refused.json()["etag"]) == (412, used)
    assert done.status_code < 300
    assert admin.get("/v1/organizations/acme", headers={"If-None-Match": etag}).status_code != 304


def test_what_moves_by_itself_is_in_the_tag_but_not_in_the_way_of_an_edit() -> None:
    one, other = PolicyBody(grace=1), PolicyBody(grace=2)

    tags = [entity_tag(policy, frozenset({"grace"})) for policy in (one, other)]

    assert tags[0] != tags[1]
    assert tags[0].partition(".")[0] == tags[1].partition(".")[0]
