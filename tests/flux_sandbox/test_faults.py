from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import stripe

from flux_sandbox.faults import Fault, Faults
from tests.flux_sandbox.running import RunningSandbox

KEY = {"Idempotency-Key": "once"}


def plan(sandbox: RunningSandbox, *rules: dict[str, Any], seed: int = 0) -> None:
    sandbox.http.post("/_sandbox/faults", json={"rules": rules, "seed": seed}).raise_for_status()


def create(sandbox: RunningSandbox, **headers: str) -> httpx.Response:
    return sandbox.http.post("/v1/customers", data={"name": "Acme"}, headers=headers)


def customers(sandbox: RunningSandbox) -> int:
    return len(sandbox.http.get("/v1/customers").json()["data"])


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        pytest.param({"what": "error"}, 500, None, id="error"),
        pytest.param({"what": "rate_limit"}, 429, "rate_limit", id="rate-limit"),
        pytest.param({"what": "conflict"}, 409, "lock_timeout", id="conflict"),
    ],
)
def test_the_next_requests_are_refused(
    sandbox: RunningSandbox, rule: dict[str, Any], status: int, code: str | None
) -> None:
    plan(sandbox, {**rule, "times": 2})

    answers = [create(sandbox) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["error"].get("code") == code
    assert customers(sandbox) == 1
    assert sandbox.violations() == []


@pytest.mark.parametrize(
    ("saved", "statuses"),
    [pytest.param(True, [500, 500], id="saved"), pytest.param(False, [500, 200], id="not-saved")],
)
def test_an_error_is_replayed_if_it_was_saved(
    sandbox: RunningSandbox, saved: bool, statuses: list[int]
) -> None:
    plan(sandbox, {"what": "error", "times": 1, "saved": saved})

    answers = [create(sandbox, **KEY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == statuses
    assert ("Idempotent-Replayed" in answers[1].headers) == saved


@pytest.mark.parametrize("saved", [True, False])
def test_an_error_may_come_after_the_change(sandbox: RunningSandbox, saved: bool) -> None:
    plan(sandbox, {"what": "error", "times": 1, "saved": saved, "carried_out": True})

    assert create(sandbox, **KEY).status_code == 500

    assert customers(sandbox) == 1


@pytest.mark.parametrize("retry_after", [None, 7])
def test_a_rate_limit_says_when_to_come_again_if_it_shall(
    sandbox: RunningSandbox, retry_after: int | None
) -> None:
    plan(sandbox, {"what": "rate_limit", "retry_after": retry_after})

    with pytest.raises(stripe.RateLimitError) as refused:
        sandbox.stripe.v1.customers.list()

    headers: Any = refused.value.headers
    assert headers.get("Retry-After") == (None if retry_after is None else str(retry_after))


def test_a_lost_answer_is_one_to_a_request_that_was_carried_out(sandbox: RunningSandbox) -> None:
    plan(sandbox, {"what": "answer_lost", "times": 1, "method": "POST"})

    with pytest.raises(httpx.RemoteProtocolError):
        create(sandbox, **KEY)

    assert create(sandbox, **KEY).headers["Idempotent-Replayed"] == "true"
    assert customers(sandbox) == 1


def test_in_an_outage_nothing_is_carried_out(sandbox: RunningSandbox) -> None:
    plan(sandbox, {"what": "outage", "method": "POST"})

    with pytest.raises(stripe.APIConnectionError):
        sandbox.stripe.v1.customers.create({"name": "Acme"})

    assert customers(sandbox) == 0
    assert sandbox.http.get("/_sandbox/requests").json()["data"][1]["status"] is None


def test_a_slow_answer_comes_late(sandbox: RunningSandbox) -> None:
    plan(sandbox, {"what": "slow", "seconds": 0.2})
    began = time.monotonic()

    answer = create(sandbox)

    assert answer.status_code == 200
    assert time.monotonic() - began >= 0.2


def test_a_fault_meets_only_the_requests_it_is_about(sandbox: RunningSandbox) -> None:
    plan(sandbox, {"what": "conflict", "method": "GET", "path": "/v1/customers*", "after": 1})

    paths = ("/v1/customers", "/v1/prices", "/v1/customers", "/v1/customers/cus_1")

    assert [sandbox.http.get(path).status_code for path in paths] == [200, 200, 409, 409]
    (rule,) = sandbox.http.get("/_sandbox/faults").json()["rules"]
    assert (rule["seen"], rule["met"]) == (3, 2)


def test_so_many_pass_in_a_second() -> None:
    faults = Faults()
    faults.plan([Fault(what="rate_limit", above_per_second=2, path="/v1/customers*")])
    moments = [0.0, 0.1, 0.2, 0.9, 1.05, 1.15, 1.2]

    met = [faults.meet("GET", "/v1/customers", moment) is not None for moment in moments]

    assert met == [False, False, True, True, False, False, True]


def statuses_under_chance(sandbox: RunningSandbox, seed: int) -> list[int]:
    plan(sandbox, {"what": "error", "saved": False, "probability": 0.5}, seed=seed)
    return [sandbox.http.get("/v1/customers").status_code for _ in range(40)]


def test_chances_are_drawn_from_the_seed(sandbox: RunningSandbox) -> None:
    first, again, other = (statuses_under_chance(sandbox, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert set(first) == {200, 500}


def test_a_plan_ends(sandbox: RunningSandbox) -> None:
    plan(sandbox, {"what": "outage"})

    sandbox.http.delete("/_sandbox/faults").raise_for_status()

    assert create(sandbox).status_code == 200
    assert sandbox.http.get("/_sandbox/faults").json()["rules"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"rules": [{"what": "earthquake"}]},
        {"rules": [{"what": "error", "probability": 2}]},
        {"rules": [{"what": "error", "time": 1}]},
        {"rules": {}},
    ],
)
def test_impossible_plans_are_refused(sandbox: RunningSandbox, body: dict[str, Any]) -> None:
    answer = sandbox.http.post("/_sandbox/faults", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
