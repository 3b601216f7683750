from __future__ import annotations

import asyncio
import threading

import httpx
import pytest
import stripe

from flux_sandbox.api import Request
from flux_sandbox.errors import CrashedError
from tests.flux_sandbox.running import RunningSandbox, running_sandbox, wait_until

KEY = {"Idempotency-Key": "once"}


def test_the_same_request_again_gets_the_same_answer(sandbox: RunningSandbox) -> None:
    first, second = (sandbox.http.post("/v1/customers", data={"name": "Acme"}, headers=KEY) for _ in range(2))

    assert second.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Original-Request"] == first.headers["Request-Id"] != second.headers["Request-Id"]
    assert len(sandbox.stripe.v1.customers.list().data) == 1


def test_a_key_with_other_parameters_is_refused(sandbox: RunningSandbox) -> None:
    sandbox.stripe.v1.customers.create({"name": "Acme"}, {"idempotency_key": "once"})

    with pytest.raises(stripe.IdempotencyError):
        sandbox.stripe.v1.customers.create({"name": "Other"}, {"idempotency_key": "once"})

    assert [violation["code"] for violation in sandbox.violations()] == ["idempotency_error"]


def test_a_key_is_forgotten_after_a_day(sandbox: RunningSandbox) -> None:
    for _ in range(2):
        sandbox.http.post("/v1/customers", data={"name": "Acme"}, headers=KEY)
        sandbox.advance(86_400)

    assert len(sandbox.stripe.v1.customers.list().data) == 2


def test_requests_that_were_not_carried_out_leave_their_key_free(sandbox: RunningSandbox) -> None:
    refused = sandbox.http.post("/v1/customers", data={"nmae": "Acme"}, headers=KEY)
    answer = sandbox.http.post("/v1/customers", data={"name": "Acme"}, headers=KEY)

    assert (refused.status_code, answer.status_code) == (400, 200)


def test_a_saved_server_error_is_replayed() -> None:
    failures = [CrashedError()]

    async def fail_once(request: Request) -> None:
        if failures:
            raise failures.pop()

    with running_sandbox(hold=fail_once) as sandbox:
        statuses = [
            sandbox.http.post("/v1/customers", headers=headers).status_code
            for headers in (KEY, KEY, {"Idempotency-Key": "another"})
        ]

    assert statuses == [500, 500, 200]


def test_a_key_in_use_is_refused() -> None:
    waiting, go_on = threading.Event(), threading.Event()

    async def wait(request: Request) -> None:
        waiting.set()
        await asyncio.to_thread(go_on.wait, 10)

    with running_sandbox(hold=wait) as sandbox:
        first: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: first.append(post_with_key(sandbox)))
        thread.start()
        wait_until(waiting.is_set)
        second = post_with_key(sandbox)
        go_on.set()
        thread.join()

    assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert first[0].status_code == 200


def post_with_key(sandbox: RunningSandbox) -> httpx.Response:
    """Post over a connection of its own."""
    return httpx.post(f"{sandbox.url}/v1/customers", headers={**sandbox.http.headers, **KEY}, timeout=30)
