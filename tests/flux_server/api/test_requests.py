from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from flux_server.api.requests import MAX_BODY
from tests.flux_server.running import RunningServer

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "organization",
    [
        pytest.param("a", id="one-byte"),
        pytest.param("a" * 255, id="255-bytes"),
        pytest.param("ü" * 127, id="254-bytes-of-two-each"),
        pytest.param("team/7", id="slash"),
        pytest.param("/", id="only-a-slash"),
        pytest.param("acme/usage", id="looks-like-a-route"),
        pytest.param("acme/overrides/1", id="looks-like-another-route"),
        pytest.param("..", id="dots"),
        pytest.param("../../etc/passwd", id="path"),
        pytest.param("100%", id="percent"),
        pytest.param("a%2Fb", id="looks-encoded"),
        pytest.param("größe 名 \N{PILE OF POO}", id="unicode"),
        pytest.param("'; DROP TABLE organizations; --", id="sql"),
        pytest.param("a\r\nX-Injected: 1", id="line-break"),
        pytest.param("?query#fragment", id="other-parts-of-an-address"),
        pytest.param(" acme ", id="spaces-around"),
    ],
)
def test_an_organizations_id_may_be_anything(shared_admin: httpx.Client, organization: str) -> None:
    path = "/v1/organizations/" + quote(organization, safe="").replace(
        ".", "%2E"
    )  # clients resolve `..` themselves
    shared_admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()

    made = shared_admin.put(path, json={"name": "N"}).raise_for_status().json()
    override = shared_admin.post(f"{path}/overrides", json={"feature": "sso", "effect": "set", "value": True})

    assert made["id"] == organization
    (entitlement,) = shared_admin.get(path).json()["entitlements"]
    assert entitlement["reasons"][-1]["override"] == override.json()["id"]
    assert shared_admin.delete(f"{path}/overrides/{override.json()['id']}").status_code == 204


def test_a_slash_that_is_not_encoded_separates(shared_admin: httpx.Client) -> None:
    assert shared_admin.put("/v1/organizations/team/8", json={}).status_code == 404


def test_an_encoded_slash_before_the_id_does_not(shared_admin: httpx.Client) -> None:
    assert shared_admin.put("/v1/organizations%2Facme", json={}).status_code == 404


def pieces(total: int) -> Iterator[bytes]:
    for start in range(0, total, 65_536):
        yield b" " * min(65_536, total - start)


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/features/f", "/v1/stripe/webhooks/unknown"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_that_is_too_large_is_refused(shared_admin: httpx.Client, path: str, chunked: bool) -> None:
    method = "PUT" if "features" in path else "POST"
    body = pieces(MAX_BODY + 1) if chunked else b" " * (MAX_BODY + 1)

    answer = shared_admin.request(method, path, content=body, headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_of_the_largest_size_is_read(shared_admin: httpx.Client) -> None:
    body = b'{"source": "s", "slots": []}'

    answer = shared_admin.post("/v1/usage", content=body.ljust(MAX_BODY))

    assert answer.json()["accepted"] == 0


def counts(server: RunningServer) -> dict[str, float]:
    """Return how many requests were answered, by what is between the braces."""
    lines = httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    name = "flux_http_requests_total{"
    return {
        line[len(name) :].rpartition("}")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(name)
    }


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        pytest.param(
            "GET",
            "/v1/organizations/secret%2Fcustomer",
            'method="GET",route="/v1/organizations/{organization}",status="404"',
            id="template-for-an-encoded-path",
        ),
        pytest.param(
            "POST",
            "/v1/stripe/webhooks/secret-token",
            'method="POST",route="/v1/stripe/webhooks/{token}",status="404"',
            id="template-for-a-token",
        ),
        pytest.param("GET", "/v1/no/secret/route", 'method="GET",route="",status="404"', id="no-route"),
        pytest.param(
            "SECRET", "/v1/usage", 'method="other",route="/v1/usage",status="405"', id="invented-method"
        ),
    ],
)
def test_requests_are_counted_by_what_callers_cannot_invent(
    shared_server: RunningServer, shared_admin: httpx.Client, method: str, path: str, labels: str
) -> None:
    before = counts(shared_server).get(labels, 0)

    shared_admin.request(method, path)

    after = counts(shared_server)
    assert after[labels] == before + 1
    assert not any("secret" in found.lower() for found in after)
