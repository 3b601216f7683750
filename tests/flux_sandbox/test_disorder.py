from __future__ import annotations

import threading
from typing import Any

import pytest

from flux_sandbox.disorder import DeliveryPlan, Disorder
from tests.flux_sandbox.running import Receiver, RunningSandbox, wait_until
from tests.flux_sandbox.test_deliveries import create_customers, listen


def plan(sandbox: RunningSandbox, **wanted: Any) -> None:
    sandbox.http.post("/_sandbox/deliveries/plan", json=wanted).raise_for_status()


def deliveries(sandbox: RunningSandbox, wait: float = 10) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.http.get("/_sandbox/deliveries", params={"wait": wait}).json()
    return found


def told(receiver: Receiver, secret: str) -> list[str]:
    """Return the names of the customers in the order in which they were told of."""
    return [webhook.event(secret).data.object["name"] for webhook in receiver.received]


def test_what_is_held_back_goes_out_in_an_order_of_the_seed(
    sandbox: RunningSandbox, receiver: Receiver
) -> None:
    secret = listen(sandbox, receiver)
    plan(sandbox, hold=True, seed=3)
    create_customers(sandbox, 8)

    held = deliveries(sandbox)
    sent = sandbox.http.post("/_sandbox/deliveries/flush").json()["sent"]
    deliveries(sandbox)

    assert (held["held"], held["pending"], held["data"], sent) == (8, 0, [], 8)
    assert sorted(told(receiver, secret)) == list("01234567")
    assert told(receiver, secret) == list("64507231")


def test_some_are_doubled_and_some_are_lost(sandbox: RunningSandbox, receiver: Receiver) -> None:
    secret = listen(sandbox, receiver)
    plan(sandbox, drop=0.3, duplicate=0.3, delay=0.01, seed=1)
    create_customers(sandbox, 20)

    log = deliveries(sandbox)["data"]

    lost = {entry["event"] for entry in log if entry["error"] == "Dropped"}
    names = told(receiver, secret)
    assert 0 < len(lost) == 20 - len(set(names))
    assert len(names) > len(set(names))
    assert len(sandbox.stripe.v1.events.list({"delivery_success": False}).data) == len(lost)


def test_one_that_is_late_is_overtaken(sandbox: RunningSandbox, receiver: Receiver) -> None:
    secret = listen(sandbox, receiver)
    plan(sandbox, reorder=1.0, delay=2, seed=29)  # late by nearly all of it
    create_customers(sandbox, 1)
    plan(sandbox)
    sandbox.stripe.v1.customers.create({"name": "next"})

    deliveries(sandbox)

    assert told(receiver, secret) == ["next", "0"]


def test_a_share_is_late_by_the_delay_at_most() -> None:
    disorder = Disorder()
    disorder.plan(DeliveryPlan(reorder=0.3, delay=5, seed=1))

    late = [copy for _ in range(1_000) for copy in disorder.fate("we_1") if copy]

    assert 250 < len(late) < 350
    assert 4 < max(late) <= 5


def test_a_plan_may_be_about_one_endpoint_only(sandbox: RunningSandbox, receiver: Receiver) -> None:
    secret = listen(sandbox, receiver)
    with Receiver().running() as deaf:
        listen(sandbox, deaf)
        newest = sandbox.stripe.v1.webhook_endpoints.list().data[0]
        plan(sandbox, drop=1.0, endpoint=newest.id)
        create_customers(sandbox, 3)

        deliveries(sandbox)

        assert (len(told(receiver, secret)), deaf.received) == (3, [])


def test_a_plan_ends(sandbox: RunningSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver)
    plan(sandbox, drop=1.0)

    assert sandbox.http.delete("/_sandbox/deliveries/plan").json() == {"plans": []}

    create_customers(sandbox, 1)
    assert deliveries(sandbox)["data"][0]["ok"]


def test_several_are_sent_at_a_time(sandbox: RunningSandbox, receiver: Receiver) -> None:
    together = threading.Barrier(4)
    receiver.before_answer = lambda: together.wait(10)
    listen(sandbox, receiver)
    plan(sandbox, concurrent=4)

    create_customers(sandbox, 4)

    assert [entry["ok"] for entry in deliveries(sandbox)["data"]] == [True] * 4


def test_one_event_is_sent_again_all_copies_at_once(sandbox: RunningSandbox, receiver: Receiver) -> None:
    secret = listen(sandbox, receiver)
    create_customers(sandbox, 2)
    deliveries(sandbox)
    event = sandbox.stripe.v1.events.list().data[0]
    together = threading.Barrier(10)
    receiver.before_answer = lambda: together.wait(10)

    answer = sandbox.http.post(f"/_sandbox/events/{event.id}/deliver", json={"times": 10})
    deliveries(sandbox)

    assert answer.json() == {"sent": 10}
    assert told(receiver, secret) == ["0", "1", *["1"] * 10]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("deliveries/plan", {"drop": 2}, 400, id="share"),
        pytest.param("deliveries/plan", {"dorp": 1}, 400, id="name"),
        pytest.param("events/evt_nobody/deliver", {}, 404, id="no-such-event"),
        pytest.param("webhook_endpoints/we_nobody/roll", {}, 404, id="no-such-endpoint"),
    ],
)
def test_impossible_wishes_are_refused(
    sandbox: RunningSandbox, path: str, body: dict[str, Any], status: int
) -> None:
    answer = sandbox.http.post(f"/_sandbox/{path}", json=body)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_wait_ends_although_something_is_pending(sandbox: RunningSandbox, receiver: Receiver) -> None:
    go_on = threading.Event()
    receiver.before_answer = lambda: go_on.wait(10)
    listen(sandbox, receiver)
    create_customers(sandbox, 1)

    pending = deliveries(sandbox, wait=0.01)["pending"]
    go_on.set()

    assert pending == 1
    wait_until(lambda: deliveries(sandbox)["pending"] == 0)


def roll(sandbox: RunningSandbox, expires_in: int) -> str:
    endpoint = sandbox.stripe.v1.webhook_endpoints.list().data[0].id
    answer = sandbox.http.post(
        f"/_sandbox/webhook_endpoints/{endpoint}/roll", json={"expires_in": expires_in}
    )
    return str(answer.raise_for_status().json()["secret"])


def test_a_rolled_secret_signs_beside_its_successor_until_it_ends(
    sandbox: RunningSandbox, receiver: Receiver
) -> None:
    old = listen(sandbox, receiver)
    new = roll(sandbox, 3_600)
    create_customers(sandbox, 1)
    (both,) = receiver.wait_for(1)
    sandbox.advance(3_600)
    create_customers(sandbox, 1)
    after = receiver.wait_for(2)[1]

    assert both.event(old).id == both.event(new).id
    assert [one.signature.count("v1=") for one in (both, after)] == [2, 1]
    assert after.event(new).type == "customer.created"


def test_a_secret_that_ends_at_once_signs_no_more(sandbox: RunningSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver)
    new = roll(sandbox, 0)
    create_customers(sandbox, 1)

    (webhook,) = receiver.wait_for(1)

    assert webhook.signature.count("v1=") == 1
    assert webhook.event(new).type == "customer.created"
