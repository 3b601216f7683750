from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe
from stripe.events import UnknownEventNotification
from stripe.events._event_classes import get_v2_event_notification_class

from flux_sandbox.thin_events import THIN_EVENT_TYPES
from tests.flux_sandbox.running import Receiver, RunningSandbox
from tests.flux_sandbox.shop import Shop

DAY = 86_400


def listen(sandbox: RunningSandbox, receiver: Receiver, *events: str) -> str:
    """Have the receiver told of thin events, and return its secret."""
    destination = sandbox.stripe.v2.core.event_destinations.create(
        {
            "name": "ours",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": list(events) or ["*"],
            "webhook_endpoint": {"url": receiver.url},
            "include": ["webhook_endpoint.signing_secret"],
        }
    )
    assert destination.webhook_endpoint is not None
    assert destination.webhook_endpoint.signing_secret is not None
    return destination.webhook_endpoint.signing_secret


def notifications(sandbox: RunningSandbox, receiver: Receiver, secret: str, count: int) -> list[Any]:
    """Read what came as Stripe's client does."""
    parse = sandbox.stripe.parse_event_notification
    return [parse(webhook.body, webhook.signature, secret) for webhook in receiver.wait_for(count)]


def types(sandbox: RunningSandbox, object_id: str) -> list[str]:
    """Return the types of the thin events about an object, oldest first."""
    found = sandbox.stripe.v2.core.events.list({"object_id": object_id, "limit": 100}).data
    return [event.type for event in reversed(found)]


def test_stripes_client_reads_a_notification_and_fetches_what_it_is_about(
    sandbox: RunningSandbox, shop: Shop, receiver: Receiver
) -> None:
    secret = listen(sandbox, receiver, "v1.customer.subscription.updated")
    subscription = shop.subscribe()
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"metadata": {"a": "1"}})

    (notification,) = notifications(sandbox, receiver, secret, 1)
    event: Any = notification.fetch_event()

    assert notification.type == "v1.customer.subscription.updated"
    assert notification.fetch_related_object().metadata["a"] == "1"
    assert event.changes.to_dict() == {"before": {"metadata": {"a": None}}, "after": {"metadata": {"a": "1"}}}
    snapshot = sandbox.stripe.v1.events.retrieve(event.snapshot_event)
    assert (snapshot.type, snapshot.request.id) == ("customer.subscription.updated", event.reason.request.id)  # type: ignore[union-attr]  # a request made it


def test_a_notification_tells_no_more_than_where_to_look(
    sandbox: RunningSandbox, shop: Shop, receiver: Receiver
) -> None:
    listen(sandbox, receiver, "v1.product.updated")
    sandbox.stripe.v1.products.update(shop.product, {"name": "Pro+"})

    (webhook,) = receiver.wait_for(1)

    assert b"Pro+" not in webhook.body
    assert b"snapshot_event" not in webhook.body


def test_a_destination_of_snapshots_is_told_as_an_endpoint(
    sandbox: RunningSandbox, receiver: Receiver
) -> None:
    created = sandbox.stripe.v2.core.event_destinations.create(
        {
            "name": "ours",
            "type": "webhook_endpoint",
            "event_payload": "snapshot",
            "enabled_events": ["customer.created"],
            "webhook_endpoint": {"url": receiver.url},
            "include": ["webhook_endpoint.signing_secret"],
        }
    )
    sandbox.stripe.v1.customers.create({"name": "Acme"})

    (webhook,) = receiver.wait_for(1)

    secret: Any = created.webhook_endpoint and created.webhook_endpoint.signing_secret
    assert webhook.event(secret).data.object["name"] == "Acme"


def test_finer_events_come_beside(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    item = subscription.items.data[0].id
    changes: list[Any] = [
        {"items": [{"id": item, "quantity": 7}]},
        {"items": [{"id": item, "price": shop.yearly}, {"price": shop.metered}]},
        {"items": [{"id": item, "deleted": True}]},
        {"cancel_at_period_end": True},
    ]
    for change in changes:
        sandbox.stripe.v1.subscriptions.update(subscription.id, change)
    sandbox.stripe.v1.subscriptions.cancel(subscription.id)

    found = [name.removeprefix("v1.customer.subscription.") for name in types(sandbox, subscription.id)]

    assert found == [
        *("created", "active"),
        *("updated", "item_quantity_changed"),
        *("updated", "item_added", "item_price_changed"),
        *("updated", "item_removed"),
        *("updated", "cancel_at_changed"),
        "deleted",
    ]


def test_the_end_of_a_trial_begins_a_status(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = sandbox.stripe.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 1}
    )
    sandbox.advance(DAY)

    found = types(sandbox, subscription.id)

    told = [name.rpartition(".")[2] for name in found]
    assert told == ["created", "trialing", "trial_will_end", "updated", "active"]
    (event,) = sandbox.stripe.v2.core.events.list({"types": ["v1.customer.subscription.active"]}).data
    assert event.reason is None


def test_prices_and_products_have_finer_ones_too(sandbox: RunningSandbox, shop: Shop) -> None:
    sandbox.stripe.v1.prices.update(shop.monthly, {"active": False, "lookup_key": "pro"})
    sandbox.stripe.v1.products.update(shop.product, {"default_price": shop.yearly})

    assert types(sandbox, shop.monthly)[2:] == ["v1.price.deactivated", "v1.price.lookup_key_changed"]
    assert types(sandbox, shop.product)[2:] == ["v1.product.default_price_changed"]


def test_events_are_listed_in_pages_and_filtered(sandbox: RunningSandbox, shop: Shop) -> None:
    since = "2026-01-01T00:00:00Z"
    events = sandbox.stripe.v2.core.events

    named = events.list({"limit": 1, "types": ["v1.price.created"], "created": {"gte": since}})

    assert len(list(named.auto_paging_iter())) == 3
    assert events.list({"created": {"lt": since}}).data == []
    assert sandbox.violations() == []


def test_events_are_kept_for_thirty_days(sandbox: RunningSandbox, shop: Shop) -> None:
    (event,) = sandbox.stripe.v2.core.events.list({"limit": 1}).data

    sandbox.advance(30 * DAY)

    assert sandbox.stripe.v2.core.events.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        sandbox.stripe.v2.core.events.retrieve(event.id)


def test_a_destination_is_changed_and_deleted(sandbox: RunningSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver, "v1.customer.created")
    destinations = sandbox.stripe.v2.core.event_destinations
    (found,) = destinations.list({"include": ["webhook_endpoint.url"]}).data
    assert found.webhook_endpoint is not None
    assert (found.webhook_endpoint.url, found.webhook_endpoint.signing_secret) == (receiver.url, None)

    changed = destinations.update(found.id, {"name": "other", "enabled_events": ["v1.customer.deleted"]})

    assert (changed.name, changed.enabled_events) == ("other", ["v1.customer.deleted"])
    assert [destinations.disable(found.id).status, destinations.enable(found.id).status] == [
        "disabled",
        "enabled",
    ]
    assert destinations.delete(found.id).id == found.id
    assert destinations.list().data == []
    assert sandbox.violations() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"name": None}, "parameter_invalid_empty", id="no-name"),
        pytest.param({"enabled_events": ["customer.created"]}, "parameter_invalid", id="no-thin-event"),
        pytest.param({"type": "amazon_eventbridge"}, "parameter_invalid", id="other-transport"),
        pytest.param({"nmae": "x"}, "parameter_unknown", id="unknown"),
        pytest.param({"webhook_endpoint": {"url": "x"}}, "url_invalid", id="no-url"),
    ],
)
def test_impossible_destinations_are_refused(
    sandbox: RunningSandbox, change: dict[str, Any], code: str
) -> None:
    good = {
        "name": "ours",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": ["*"],
        "webhook_endpoint": {"url": "http://localhost:1"},
    }

    answer = sandbox.http.post("/v2/core/event_destinations", json={**good, **change})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("body", [b"name=ours", b"[]", b"{"], ids=["form", "no-object", "no-json"])
def test_what_is_no_json_is_refused(sandbox: RunningSandbox, body: bytes) -> None:
    headers = {} if body == b"name=ours" else {"Content-Type": "application/json"}
    answer: httpx.Response = sandbox.http.post(
        "/v2/core/event_destinations", content=body, headers={"Content-Type": "text/plain", **headers}
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"]


def test_stripes_client_knows_every_thin_event() -> None:
    of_ours = [name for name in THIN_EVENT_TYPES if "subscription" in name or name.startswith("v1.price")]

    assert [
        name for name in of_ours if get_v2_event_notification_class(name) is UnknownEventNotification
    ] == []
