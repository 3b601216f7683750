from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import Receiver, RunningSandbox
from tests.flux_sandbox.shop import Shop

DAY = 86_400


def types(sandbox: RunningSandbox, params: Any) -> list[str]:
    return [event.type for event in sandbox.stripe.v1.events.list(params).data]


def test_every_change_leaves_an_event(sandbox: RunningSandbox, shop: Shop) -> None:
    sandbox.stripe.v1.products.update(shop.product, {"name": "Pro+"})
    sandbox.stripe.v1.customers.update(shop.customer, {"name": "Acme"})  # no change: it is its name

    assert types(sandbox, {}) == [
        "product.updated",
        "customer.created",
        "price.created",
        "price.created",
        "price.created",
        "billing.meter.created",
        "product.created",
    ]


def test_an_event_tells_what_was_before_and_which_request_it_was(sandbox: RunningSandbox) -> None:
    customers = sandbox.stripe.v1.customers
    acme = customers.create({"name": "Acme", "metadata": {"a": "1"}})
    customers.update(acme.id, {"name": "Acme Inc.", "metadata": {"b": "2"}}, {"idempotency_key": "rename"})

    (event,) = sandbox.stripe.v1.events.list({"type": "customer.updated"}).data

    assert event.to_dict()["data"]["previous_attributes"] == {"metadata": {"b": None}, "name": "Acme"}
    assert event.data.object["name"] == "Acme Inc."
    assert event.request is not None
    assert event.request.idempotency_key == "rename"
    assert (event.api_version, event.livemode, event.pending_webhooks) == ("2026-10-28.endive", False, 0)
    assert sandbox.stripe.v1.events.retrieve(event.id).created == event.created


def test_events_are_filtered_by_type_and_time(sandbox: RunningSandbox, shop: Shop) -> None:
    later = sandbox.advance(100)
    sandbox.stripe.v1.customers.create({"name": "Later"})

    assert types(sandbox, {"types": ["customer.created", "product.created"]}) == [
        "customer.created",
        "customer.created",
        "product.created",
    ]
    assert types(sandbox, {"type": "billing.*"}) == ["billing.meter.created"]
    assert types(sandbox, {"created": {"gte": later}}) == ["customer.created"]
    assert len(types(sandbox, {"created": {"lt": later}})) == 6


def test_missed_events_come_in_the_order_in_which_they_happened(
    sandbox: RunningSandbox, shop: Shop, receiver: Receiver
) -> None:
    receiver.answers = [500] * 10
    sandbox.stripe.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["customer.updated", "product.updated"]}
    )
    seen = sandbox.stripe.v1.events.list({"limit": 1}).data[0].id
    for name in "abc":
        sandbox.stripe.v1.customers.update(shop.customer, {"name": name})
    receiver.wait_for(3)

    missed = sandbox.stripe.v1.events.list(
        {"ending_before": seen, "types": ["customer.updated"], "delivery_success": False, "limit": 2}
    )

    names = [event.data.object["name"] for event in missed.auto_paging_iter()]
    assert names == ["a", "b", "c"]


def test_events_are_kept_for_thirty_days(sandbox: RunningSandbox, shop: Shop) -> None:
    event = sandbox.stripe.v1.events.list({"limit": 1}).data[0]

    sandbox.advance(30 * DAY)

    assert types(sandbox, {}) == []
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        sandbox.stripe.v1.events.retrieve(event.id)


def test_a_type_and_types_exclude_each_other(sandbox: RunningSandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        types(sandbox, {"type": "customer.created", "types": ["customer.created"]})
