from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from flux_sandbox.disorder import DeliveryPlan
from flux_sandbox.faults import Fault
from flux_sandbox.testing import StripeSandbox
from tests.flux_sandbox.running import Receiver


@pytest.fixture(scope="module")
def running() -> Iterator[StripeSandbox]:
    with StripeSandbox(retry_delays=(0.01,)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: StripeSandbox) -> StripeSandbox:
    running.reset()
    return running


@pytest.fixture
def client(sandbox: StripeSandbox) -> Iterator[stripe.StripeClient]:
    requests = stripe.RequestsClient()
    yield sandbox.client(http_client=requests)
    requests.close()  # type: ignore[no-untyped-call]  # Stripe's


def test_the_clock_is_turned_by_seconds_or_by_a_timedelta(sandbox: StripeSandbox) -> None:
    before = sandbox.now()

    sandbox.advance(60)
    after = sandbox.advance(timedelta(days=1))

    assert 86_460 <= after - before < 86_500


def test_a_reset_leaves_nothing(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.listen("http://127.0.0.1:9/hook")
    client.v1.customers.create({"name": "Acme"})
    sandbox.faults(Fault(what="error", method="GET"))
    sandbox.advance(86_400)

    sandbox.reset()

    assert (client.v1.customers.list().data, client.v1.webhook_endpoints.list().data) == ([], [])
    assert (len(sandbox.requests), sandbox.deliveries) == (2, [])


def test_webhooks_are_waited_for(
    sandbox: StripeSandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    endpoint = sandbox.listen(receiver.url, "customer.created", "customer.deleted")
    sandbox.disturb_deliveries(DeliveryPlan(hold=True))
    client.v1.customers.delete(client.v1.customers.create({"name": "Acme"}).id)

    sent = sandbox.flush()
    sandbox.wait_delivered()

    told = {webhook.event(endpoint.secret).type for webhook in receiver.received}
    assert (sent, told) == (2, {"customer.created", "customer.deleted"})
    assert [delivery.ok for delivery in sandbox.deliveries] == [True, True]


def test_thin_events_are_listened_to_as_well(
    sandbox: StripeSandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    endpoint = sandbox.listen_thin(receiver.url, "v1.customer.created")
    customer = client.v1.customers.create({"name": "Acme"})
    sandbox.wait_delivered()

    (webhook,) = receiver.received
    notification: Any = client.parse_event_notification(webhook.body, webhook.signature, endpoint.secret)

    assert notification.related_object.id == customer.id


def test_who_waits_in_vain_is_told(
    sandbox: StripeSandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    receiver.before_answer = lambda: receiver.wait_for(2)  # until it is sent again
    sandbox.listen(receiver.url)
    client.v1.customers.create({"name": "Acme"})

    with pytest.raises(TimeoutError, match="1 webhooks are still on their way"):
        sandbox.wait_delivered(timeout=0.01)

    sandbox.deliver(client.v1.events.list().data[0].id)
    sandbox.wait_delivered()


def test_disturbed_deliveries_end(
    sandbox: StripeSandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.listen(receiver.url)
    sandbox.disturb_deliveries(DeliveryPlan(drop=1.0))
    client.v1.customers.create({"name": "Acme"})

    sandbox.disturb_deliveries()
    client.v1.customers.create({"name": "Other"})
    sandbox.wait_delivered()

    assert [delivery.error for delivery in sandbox.deliveries] == [None, "Dropped"]


def test_keys_are_made_and_revoked(sandbox: StripeSandbox) -> None:
    key = sandbox.restricted_key("rak_customer_read")
    headers = {"Authorization": f"Bearer {key}"}
    paths = ("/v1/customers", "/v1/prices")

    allowed = [httpx.get(sandbox.url + path, headers=headers, timeout=30).status_code for path in paths]
    sandbox.revoke_key(key)

    assert allowed == [200, 403]
    assert httpx.get(sandbox.url + paths[0], headers=headers, timeout=30).status_code == 401


def test_faults_are_planned_and_end(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.faults(Fault(what="rate_limit"))
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.list()

    sandbox.faults()

    assert client.v1.customers.list().data == []
    assert [request.status for request in sandbox.requests] == [200, 429]


def test_what_stripe_would_refuse_is_told(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.raw_request("post", "/v1/customers", nmae="Acme")

    assert [(found.code, found.param) for found in sandbox.violations] == [("parameter_unknown", "nmae")]


def test_an_event_that_never_was_is_told(sandbox: StripeSandbox, receiver: Receiver) -> None:
    endpoint = sandbox.listen(receiver.url)

    subscription = {"object": "subscription", "id": "sub_1", "status": "odd"}
    ids = [
        sandbox.make_event(f"customer.subscription.{name}", subscription) for name in ("updated", "renamed")
    ]
    sandbox.wait_delivered()

    events = [webhook.event(endpoint.secret) for webhook in receiver.received]
    assert [event.id for event in events] == ids
    assert {event.data.object["status"] for event in events} == {"odd"}


def test_wrong_meter_events_are_reported_when_the_test_says(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    sandbox.check_meter_events(later=True)
    client.v1.billing.meter_events.create({"event_name": "nothing", "payload": {"value": "1"}})

    assert (sandbox.report_meter_errors(), sandbox.report_meter_errors()) == (1, 0)


def test_a_thin_event_that_never_was_is_told(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    id_ = sandbox.make_event("v2.core.health.event_generation_failure.resolved", data={"a": 1})

    event = client.v2.core.events.retrieve(id_).to_dict(for_json=True)

    assert (event["data"], event["related_object"]) == ({"a": 1}, None)


def test_changes_in_silence_leave_no_events(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.silence()
    customer = client.v1.customers.create({"name": "Acme"})
    sandbox.silence(False)
    client.v1.customers.delete(customer.id)

    assert [event.type for event in client.v1.events.list().data] == ["customer.deleted"]
    assert [event.type for event in client.v2.core.events.list().data] == ["v1.customer.deleted"]


def test_a_webhook_is_signed_without_being_sent(sandbox: StripeSandbox) -> None:
    endpoint = sandbox.listen("http://application.test/hook", "customer.created")
    new = sandbox.roll_secret(endpoint.id)
    id_ = sandbox.make_event("customer.renamed", {"object": "customer", "id": "cus_1"})

    webhook = sandbox.webhook(id_, endpoint.id)

    for secret in (endpoint.secret, new):
        signed = stripe.Webhook.construct_event(webhook.body, webhook.headers["Stripe-Signature"], secret)
        assert signed.id == id_
    assert sandbox.deliveries == []


def test_a_wish_that_cannot_be_fulfilled_says_why(sandbox: StripeSandbox) -> None:
    with pytest.raises(ValueError, match="no such permissions: rak_customers_read"):
        sandbox.restricted_key("rak_customers_read")


def test_an_account_in_live_mode_has_a_live_key() -> None:
    with StripeSandbox(livemode=True, account_id="acct_1", api_version="2025-02-24.acacia") as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.key}"}
        answer = httpx.get(f"{sandbox.url}/v1/account", headers=headers, timeout=30)

    assert (answer.json()["id"], answer.headers["Stripe-Version"]) == ("acct_1", "2025-02-24.acacia")
