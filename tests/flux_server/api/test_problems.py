"""What cannot be done is refused with a problem that says what to do: whatever is sent, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from flux_server.settings import Settings
from tests.flux_server.api.routes import furnish
from tests.flux_server.postgres import PostgresServer
from tests.flux_server.running import FakeClock, RunningServer, run_server

NUL = "a\0b"
DEEP = "[" * 50_000 + "]" * 50_000
SECRET = "sk_live_oops123456"


@pytest.fixture(scope="module")
def each_admin(
    postgres: PostgresServer,
    shared_admin: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_template: str,
) -> Iterator[tuple[httpx.Client, ...]]:
    """Administrators of the same things on SQLite and on PostgreSQL."""
    name = postgres.make_database(postgres_template)
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), database_url=postgres.url(name))
    with run_server(settings) as server, server.client("admin") as other:
        furnish(shared_admin)
        furnish(other)
        yield shared_admin, other
    postgres.drop_database(name)


def require_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Check that the answer is a well-formed problem; return it."""
    problem: dict[str, object] = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:flux:problem:{code.replace('_', '-')}"
    assert problem["title"]
    assert problem["detail"]
    return problem


PLAN, OVERRIDES = "/v1/plans/p", "/v1/organizations/acme/overrides"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PUT", "/v1/features/f", "{", id="no-json"),
        pytest.param("PUT", "/v1/features/f", "", id="no-body"),
        pytest.param("PUT", "/v1/features/f", "[]", id="not-an-object"),
        pytest.param("PUT", "/v1/features/f", b"\xff\xfe", id="not-utf-8"),
        pytest.param("PUT", "/v1/features/f", '{"kind": "boolean", "\\ud800": 1}', id="surrogate-in-a-name"),
        pytest.param("PUT", "/v1/features/f", '{"kind": "boolean", "name": "\\ud800"}', id="surrogate"),
        pytest.param("PUT", "/v1/features/f", {"kind": "boolean", "name": NUL}, id="nul-in-a-name"),
        pytest.param("PUT", "/v1/features/f", {"kind": "boolean", "name": "n" * 256}, id="long-name"),
        pytest.param("PUT", "/v1/features/f", {"kind": "boolean", "nmae": "n"}, id="unknown-field"),
        pytest.param("PUT", "/v1/features/f", {"kind": "bool"}, id="unknown-kind"),
        pytest.param("PUT", "/v1/features/f", {}, id="field-missing"),
        pytest.param("PUT", "/v1/features/f", {"kind": "limit", "metric": NUL}, id="nul-in-a-metric"),
        pytest.param("GET", "/v1/features/%00", None, id="nul-in-a-path"),
        pytest.param("PUT", "/v1/metrics/m", {"unit": NUL}, id="nul-in-a-unit"),
        pytest.param("PUT", "/v1/metrics/m", {"aggregation": "average"}, id="unknown-aggregation"),
        pytest.param("PUT", PLAN, {"name": NUL}, id="nul-in-a-plan"),
        pytest.param("PUT", PLAN, {"prices": [{"price": NUL}]}, id="nul-in-a-price"),
        pytest.param("PUT", PLAN, {"prices": [{"price": "p"}] * 101}, id="too-many-prices"),
        pytest.param(
            "PUT", PLAN, {"grants": [{"feature": "sso", "value": True}] * 10_001}, id="too-many-grants"
        ),
        pytest.param("PUT", PLAN, {"grants": [{"feature": "sso", "value": 1.0}]}, id="fraction"),
        pytest.param("PUT", PLAN, {"grants": [{"feature": "sso", "value": "true"}]}, id="text-for-a-boolean"),
        pytest.param("PUT", PLAN, '{"grants": [{"feature": "sso", "value": NaN}]}', id="nan"),
        pytest.param("PUT", "/v1/default-plan", {"plan": NUL}, id="nul-in-a-default-plan"),
        pytest.param("PUT", "/v1/default-plan", {"plan": 1}, id="number-for-a-plan"),
        pytest.param("POST", "/v1/plans/pro/publish", {"existing": "go"}, id="neither-stay-nor-migrate"),
        pytest.param("POST", "/v1/api-keys", {"name": NUL, "scope": "sdk"}, id="nul-in-a-keys-name"),
        pytest.param("POST", "/v1/api-keys", {"name": "", "scope": "sdk"}, id="key-without-a-name"),
        pytest.param("POST", "/v1/api-keys", {"name": "n", "scope": "root"}, id="unknown-scope"),
        pytest.param("DELETE", "/v1/api-keys/%00", None, id="nul-in-a-keys-id"),
        pytest.param("GET", "/v1/organizations?query=%00", None, id="nul-in-a-query"),
        pytest.param("GET", "/v1/organizations?cursor=AA==", None, id="nul-in-a-cursor"),
        pytest.param("GET", "/v1/organizations?cursor=é", None, id="malformed-cursor"),
        pytest.param("GET", "/v1/organizations?cursor=gA==", None, id="cursor-of-no-text"),
        pytest.param("GET", "/v1/organizations?limit=0", None, id="limit-of-nothing"),
        pytest.param("GET", "/v1/organizations?limit=501", None, id="limit-of-too-much"),
        pytest.param("GET", "/v1/organizations/%00", None, id="nul-in-an-organization"),
        pytest.param("GET", "/v1/organizations/%FF", None, id="organization-not-utf-8"),
        pytest.param("GET", "/v1/organizations/%ED%A0%80", None, id="organization-of-a-surrogate"),
        pytest.param("PUT", "/v1/organizations/" + "a" * 256, {}, id="organization-of-256-bytes"),
        pytest.param(
            "PUT", "/v1/organizations/" + "%C3%BC" * 128, {}, id="organization-of-256-bytes-encoded"
        ),
        pytest.param("PUT", "/v1/organizations/acme", {"name": NUL}, id="nul-in-an-organizations-name"),
        pytest.param("GET", "/v1/organizations/acme/usage", None, id="no-metric"),
        pytest.param("GET", "/v1/organizations/acme/usage?metric=%00", None, id="nul-in-a-metrics-key"),
        pytest.param("POST", OVERRIDES, {"feature": NUL, "effect": "deny"}, id="nul-in-a-feature"),
        pytest.param(
            "POST", OVERRIDES, {"feature": "sso", "effect": "deny", "reason": NUL}, id="nul-in-a-reason"
        ),
        pytest.param(
            "POST", OVERRIDES, {"feature": "sso", "effect": "deny", "author": NUL}, id="nul-in-an-author"
        ),
        pytest.param(
            "POST", OVERRIDES, {"feature": "sso", "effect": "deny", "until": True}, id="boolean-for-a-moment"
        ),
        pytest.param(
            "POST",
            OVERRIDES,
            {"feature": "sso", "effect": "deny", "until": "2000000000"},
            id="text-for-a-moment",
        ),
        pytest.param(
            "POST",
            OVERRIDES,
            {"feature": "sso", "effect": "deny", "until": 2**63},
            id="moment-beyond-a-column",
        ),
        pytest.param("POST", OVERRIDES, {"feature": "sso", "effect": "nuke"}, id="unknown-effect"),
        pytest.param("DELETE", f"{OVERRIDES}/a%00", None, id="override-that-is-none"),
        pytest.param("PUT", "/v1/stripe/customers/%00", {"organization": "acme"}, id="nul-in-a-customer"),
        pytest.param(
            "PUT", "/v1/stripe/customers/cus_1", {"organization": NUL}, id="nul-in-a-customers-organization"
        ),
        pytest.param("PUT", "/v1/stripe/link", {"api_key": {"nested": SECRET}}, id="nested-secret"),
        pytest.param("POST", "/v1/stripe/webhooks/%00", {}, id="nul-in-a-webhooks-address"),
        pytest.param("POST", "/v1/usage", "{", id="usage-no-json"),
        pytest.param("POST", "/v1/usage", {"slots": []}, id="usage-without-a-source"),
        pytest.param("POST", "/v1/usage", {"source": NUL, "slots": []}, id="nul-in-a-source"),
        pytest.param(
            "POST", "/v1/usage", f'{{"x": {DEEP}, "source": "s", "slots": []}}', id="usage-too-deep"
        ),
        pytest.param("GET", "/v1/stream?heartbeat=nan", None, id="heartbeat-nan"),
        pytest.param("GET", "/v1/stream?heartbeat=0.1", None, id="heartbeat-too-often"),
        pytest.param("GET", "/v1/stream?usage_since=-1", None, id="negative-usage-revision"),
    ],
)
def test_what_does_not_fit_is_refused_on_both_databases(
    each_admin: tuple[httpx.Client, ...], method: str, path: str, body: object
) -> None:
    content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
    for admin in each_admin:
        answer = admin.request(method, path, content=content, headers={"Content-Type": "application/json"})

        status = 404 if method == "DELETE" and "overrides" in path else 422
        require_problem(answer, status, "not_found" if status == 404 else "invalid_request")
        assert "oops" not in answer.text


def test_a_number_or_a_nesting_without_end_is_refused(shared_admin: httpx.Client) -> None:
    for body in (DEEP, '{"grants": [{"feature": "sso", "value": ' + "9" * 5_000 + "}]}"):
        answer = shared_admin.put(PLAN, content=body, headers={"Content-Type": "application/json"})

        require_problem(answer, 400, "bad_request")


def test_the_problem_names_each_place_that_is_wrong(shared_admin: httpx.Client) -> None:
    body = {"kind": "bool", "nmae": SECRET, "metric": 1}

    problem = require_problem(shared_admin.put("/v1/features/f", json=body), 422, "invalid_request")

    errors = problem["errors"]
    assert isinstance(errors, list)
    assert [error["at"] for error in errors] == [["body", "kind"], ["body", "metric"], ["body", "nmae"]]
    assert "body.nmae: Extra inputs are not permitted" in str(problem["detail"])
    assert SECRET not in str(problem)


def test_a_problem_stays_small_however_much_is_wrong(shared_admin: httpx.Client) -> None:
    answer = shared_admin.put(PLAN, json={f"{number}" * 100: SECRET for number in range(10_000)})

    problem = require_problem(answer, 422, "invalid_request")
    assert str(problem["detail"]).endswith("; and 9980 more")
    assert len(answer.content) < 10_000


def test_a_malformed_plan_is_told_everything_that_is_wrong_with_it(shared_admin: httpx.Client) -> None:
    shared_admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
    plan = {
        "prices": [{"price": "p"}, {"price": "p"}, {"price": "q", "metric": "steps"}, {"price": ""}],
        "grants": [
            {"feature": "seats", "value": True},
            {"feature": "seats", "value": 2**53},
            {"feature": "telepathy", "value": True},
        ],
    }

    problem = require_problem(shared_admin.put("/v1/plans/wrong", json=plan), 422, "malformed_plan")

    errors = problem["errors"]
    assert isinstance(errors, list)
    for wrong in (
        "'p' is named twice",
        "metric 'steps'",
        "1 to 255 characters",
        "not True",
        "telepathy",
    ):
        assert any(wrong in error for error in errors), wrong
    assert shared_admin.get("/v1/plans/wrong").status_code == 404


def test_a_body_without_its_content_type_is_told_which_to_send(shared_admin: httpx.Client) -> None:
    answer = shared_admin.put("/v1/features/f", data={"kind": "boolean"})

    problem = require_problem(answer, 422, "invalid_request")
    assert "Content-Type: application/json" in str(problem["detail"])


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1//features", "/v1/features/", "/v1/features/a/b"])
def test_an_address_with_nothing_at_it_is_a_problem_too(shared_admin: httpx.Client, path: str) -> None:
    problem = require_problem(shared_admin.get(path), 404, "not_found")

    assert "/v1/openapi.json" in str(problem["detail"])


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("DELETE", "/v1/features/sso", "GET, PUT", id="two-routes"),
        pytest.param("POST", "/v1/organizations/a%2Fb", "DELETE, GET, PUT", id="encoded"),
        pytest.param("PATCH", "/v1/stripe/link", "DELETE, GET, PUT", id="three-routes"),
        pytest.param("GET", "/v1/usage", "POST", id="one-route"),
        pytest.param("BREW", "/v1/features", "GET", id="no-such-method"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    shared_admin: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = shared_admin.request(method, path)

    require_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


def test_a_refused_request_leaves_the_connection_usable(shared_admin: httpx.Client) -> None:
    shared_admin.get("/v1/nothing")

    with shared_admin.stream("GET", "/v1/features") as answer:
        first = answer.extensions["network_stream"].get_extra_info("client_addr")
        answer.read()
    shared_admin.put("/v1/features/f", json={"kind": "bool"})
    with shared_admin.stream("GET", "/v1/features") as answer:
        assert answer.extensions["network_stream"].get_extra_info("client_addr") == first


@pytest.fixture
def broken(settings: Settings) -> Iterator[RunningServer]:
    """A server with a mistake in it: its clock stops working."""

    class BrokenClock(FakeClock):
        def __call__(self) -> float:
            if self.now < 0:
                raise RuntimeError(f"the clock fell down, {SECRET}")
            return self.now

    with run_server(settings, BrokenClock()) as running:
        yield running


def test_a_mistake_of_the_server_is_logged_once_and_not_shown(broken: RunningServer) -> None:
    with broken.client("admin") as admin, structlog.testing.capture_logs() as logged:
        broken.clock.now = -1
        answer = admin.put("/v1/metrics/calls", json={})
        broken.clock.now = 0
        assert admin.put("/v1/metrics/calls", json={}).status_code == 200
        metrics = admin.get("/metrics").text

    require_problem(answer, 500, "internal_error")
    assert "clock" not in answer.text
    (line,) = [line for line in logged if line["event"] == "request failed"]
    assert (line["method"], line["route"]) == ("PUT", "/v1/metrics/{key}")
    assert re.search(
        r'flux_http_requests_total{method="PUT",route="/v1/metrics/{key}",status="500"} 1', metrics
    )


def test_without_its_database_the_server_says_try_again(
    postgres: PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    name = postgres.make_database(postgres_template)
    settings = Settings(data_dir=tmp_path, database_url=postgres.url(name))
    with run_server(settings) as server, server.client("admin") as admin:
        postgres.drop_database(name)

        for path in ("/healthz", "/metrics", "/v1/features"):
            answer = admin.get(path)
            require_problem(answer, 503, "unavailable")
            assert answer.headers["Retry-After"] == "5"
