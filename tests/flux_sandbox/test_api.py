from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("Bearer sk_test_abc", id="secret"),
        pytest.param("Bearer rk_test_abc", id="restricted"),
        pytest.param("Basic c2tfdGVzdF9hYmM6", id="basic"),  # sk_test_abc:
    ],
)
def test_test_keys_are_taken(sandbox: RunningSandbox, authorization: str) -> None:
    answer = sandbox.http.get("/v1/account", headers={"Authorization": authorization})

    assert answer.status_code == 200
    assert answer.json()["object"] == "account"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        pytest.param("", "did not provide an API key", id="none"),
        pytest.param("Bearer sk_live_secret", "no live keys", id="live"),
        pytest.param("Bearer pk_test_secret", "Invalid API Key", id="publishable"),
        pytest.param("Basic !!!", "Invalid API Key", id="garbage"),
        pytest.param("Basic \xe4", "Invalid API Key", id="not-ascii"),
    ],
)
def test_other_keys_are_refused_and_not_repeated(
    sandbox: RunningSandbox, authorization: str, message: str
) -> None:
    sent = {b"Authorization": authorization.encode("latin-1")}
    answer = sandbox.http.get("/v1/customers", headers=sent)

    assert answer.status_code == 401
    assert message in answer.json()["error"]["message"]
    assert "secret" not in answer.text + sandbox.http.get("/_sandbox/violations").text


def test_answers_carry_a_request_id_and_the_version(sandbox: RunningSandbox) -> None:
    answer = sandbox.http.get("/v1/account")

    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == "2026-10-28.endive"


def test_the_client_reads_errors_as_stripes(sandbox: RunningSandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        sandbox.stripe.v1.customers.retrieve("cus_nobody")

    assert missing.value.http_status == 404
    assert missing.value.code == "resource_missing"
    assert missing.value.request_id is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/v1/nothing", id="path"),
        pytest.param("PUT", "/v1/customers", id="method"),
        pytest.param("DELETE", "/v1/events/evt_1", id="method-of-an-object"),
        pytest.param("GET", "/v1/customers/", id="empty-id"),
    ],
)
def test_unknown_methods_and_paths_are_404_and_violations(
    sandbox: RunningSandbox, method: str, path: str
) -> None:
    answer = sandbox.http.request(method, path)

    assert answer.status_code == 404
    assert f"({method}: {path})" in answer.json()["error"]["message"]
    assert [violation["path"] for violation in sandbox.violations()] == [path]


def test_bad_parameters_are_refused_and_kept_as_violations(sandbox: RunningSandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.raw_request("post", "/v1/prices", curency="eur")

    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "curency")
    assert [(found["code"], found["param"]) for found in sandbox.violations()] == [
        ("parameter_missing", "currency"),
        ("parameter_unknown", "curency"),
    ]


def test_requests_are_logged_without_what_they_carry(sandbox: RunningSandbox) -> None:
    sandbox.stripe.v1.customers.list({"email": "private@example.com"})

    answer = sandbox.http.get("/_sandbox/requests")

    assert [(one["method"], one["path"], one["status"]) for one in answer.json()["data"]] == [
        ("GET", "/v1/customers", 200)
    ]
    assert "private" not in answer.text


def test_json_bodies_are_refused(sandbox: RunningSandbox) -> None:
    answer = sandbox.http.post("/v1/customers", json={"name": "Acme"})

    assert answer.status_code == 400
    assert "x-www-form-urlencoded" in answer.json()["error"]["message"]
