from __future__ import annotations

from typing import Any

import pytest
import stripe

from flux_sandbox.signing import signature
from tests.flux_sandbox.running import Receiver, RunningSandbox, wait_until


def listen(sandbox: RunningSandbox, receiver: Receiver, *events: Any) -> str:
    """Have the receiver told of events, and return its secret."""
    endpoint = sandbox.stripe.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": list(events) or ["*"]}
    )
    assert endpoint.secret is not None
    return endpoint.secret


def idle(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """Wait until nothing is on its way, and return the log, newest first."""
    wait_until(lambda: sandbox.http.get("/_sandbox/deliveries").json()["pending"] == 0)
    log: list[dict[str, Any]] = sandbox.http.get("/_sandbox/deliveries").json()["data"]
    return log


def create_customers(sandbox: RunningSandbox, count: int) -> list[str]:
    return [sandbox.stripe.v1.customers.create({"name": str(number)}).id for number in range(count)]


def test_webhooks_are_signed_and_come_in_order(sandbox: RunningSandbox, receiver: Receiver) -> None:
    secret = listen(sandbox, receiver)
    created = create_customers(sandbox, 20)

    events = [webhook.event(secret) for webhook in receiver.wait_for(20)]

    assert [event.data.object["id"] for event in events] == created
    assert {event.pending_webhooks for event in events} == {1}
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.received[0].event("whsec_other")


def test_an_endpoint_gets_only_what_it_asks_for(sandbox: RunningSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver, "customer.deleted", "product.created")
    sandbox.stripe.v1.customers.delete(create_customers(sandbox, 1)[0])

    assert [delivery["type"] for delivery in idle(sandbox)] == ["customer.deleted"]


def test_a_refused_webhook_is_tried_again_and_the_others_do_not_wait(
    sandbox: RunningSandbox, receiver: Receiver
) -> None:
    receiver.answers = [500]
    secret = listen(sandbox, receiver)
    first, second = create_customers(sandbox, 2)

    received = [webhook.event(secret).data.object["id"] for webhook in receiver.wait_for(3)]

    assert received.count(first) == 2
    assert received.count(second) == 1
    assert {(entry["attempt"], entry["status"]) for entry in idle(sandbox)} == {(1, 500), (1, 200), (2, 200)}
    assert sandbox.stripe.v1.events.list({"delivery_success": False}).data == []


def test_an_endpoint_that_never_answers_well_is_given_up(sandbox: RunningSandbox, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 404]
    listen(sandbox, receiver)
    create_customers(sandbox, 1)

    log = idle(sandbox)

    assert [(entry["attempt"], entry["status"], entry["ok"]) for entry in log] == [
        (3, 404, False),
        (2, 302, False),
        (1, 500, False),
    ]
    assert len(sandbox.stripe.v1.events.list({"delivery_success": False}).data) == 1


def test_nobody_there_is_noted_and_blocks_nothing(sandbox: RunningSandbox, receiver: Receiver) -> None:
    sandbox.stripe.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"]})
    listen(sandbox, receiver)
    create_customers(sandbox, 1)

    receiver.wait_for(1)

    assert {entry["error"] for entry in idle(sandbox)} == {"ConnectError", None}


def test_a_disabled_endpoint_is_not_told(sandbox: RunningSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver)
    endpoints = sandbox.stripe.v1.webhook_endpoints
    endpoints.update(endpoints.list().data[0].id, {"disabled": True})

    create_customers(sandbox, 1)

    assert idle(sandbox) == []


def test_signatures_are_stripes_own() -> None:
    body, secret, timestamp = b'{"id": "evt_1"}', "whsec_1", 1_800_000_000

    assert signature([secret], body, timestamp) == stripe.WebhookSignature.generate_signature_header(
        body.decode(), secret, timestamp
    )
