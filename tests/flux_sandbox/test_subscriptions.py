from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import Receiver, RunningSandbox
from tests.flux_sandbox.shop import Shop

DAY = 86_400


def test_the_whole_life_of_a_subscription_is_told_by_webhooks(
    sandbox: RunningSandbox, shop: Shop, receiver: Receiver
) -> None:
    told: Any = [f"customer.subscription.{what}" for what in ("created", "updated", "deleted")]
    secret = sandbox.stripe.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": told}).secret
    assert secret
    subscriptions = sandbox.stripe.v1.subscriptions

    subscription = shop.subscribe()
    subscriptions.update(subscription.id, {"items": [{"id": subscription.items.data[0].id, "quantity": 5}]})
    subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    subscriptions.cancel(subscription.id)

    events = [webhook.event(secret) for webhook in receiver.wait_for(4)]
    assert [event.type.removeprefix("customer.subscription.") for event in events] == [
        "created",
        "updated",
        "updated",
        "deleted",
    ]
    created, quantity, scheduled, deleted = (event.data for event in events)
    assert created.object["status"] == "active"
    assert quantity.object["items"]["data"][0]["quantity"] == 5
    assert quantity.previous_attributes is not None
    assert quantity.previous_attributes["items"]["data"][0]["quantity"] == 1
    assert scheduled.previous_attributes is not None
    assert scheduled.previous_attributes["cancel_at_period_end"] is False
    assert deleted.object["status"] == "canceled"


def test_periods_stand_on_the_items(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(shop.monthly, shop.yearly, shop.metered)

    monthly, yearly, metered = subscription.items.data
    assert "current_period_end" not in subscription.to_dict()
    assert monthly.current_period_end - subscription.created in {days * DAY for days in (28, 29, 30, 31)}
    assert yearly.current_period_end - subscription.created in {365 * DAY, 366 * DAY}
    assert metered.current_period_end == monthly.current_period_end
    assert (monthly.quantity, getattr(metered, "quantity", None)) == (1, None)
    assert metered.price.recurring is not None
    assert metered.price.recurring.meter == shop.meter


def test_items_are_changed_added_and_removed_in_one_update(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(shop.monthly, shop.metered)
    monthly, metered = (item.id for item in subscription.items.data)

    changed = sandbox.stripe.v1.subscriptions.update(
        subscription.id,
        {
            "items": [
                {"id": monthly, "price": shop.yearly, "quantity": 2},
                {"id": metered, "deleted": True},
                {"price": shop.monthly, "quantity": 7},
            ]
        },
    )

    assert [(item.price.id, item.quantity) for item in changed.items.data] == [
        (shop.yearly, 2),
        (shop.monthly, 7),
    ]
    assert changed.items.data[0].id == monthly


def test_a_trial_is_the_first_period(sandbox: RunningSandbox, shop: Shop) -> None:
    trialing = sandbox.stripe.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 14}
    )

    assert trialing.status == "trialing"
    assert trialing.trial_end == trialing.created + 14 * DAY
    assert trialing.items.data[0].current_period_end == trialing.trial_end == trialing.billing_cycle_anchor


def test_a_trial_can_be_ended(sandbox: RunningSandbox, shop: Shop) -> None:
    subscriptions = sandbox.stripe.v1.subscriptions
    trialing = subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 14}
    )

    active = subscriptions.update(trialing.id, {"trial_end": "now"})

    assert active.status == "active"
    assert active.items.data[0].current_period_end > (trialing.trial_end or 0)


def test_a_scheduled_end_is_set_by_either_parameter_and_undone(sandbox: RunningSandbox, shop: Shop) -> None:
    subscriptions, subscription = sandbox.stripe.v1.subscriptions, shop.subscribe(shop.monthly, shop.yearly)
    monthly, yearly = (item.current_period_end for item in subscription.items.data)

    at_period_end = subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    subscriptions.update(subscription.id, {"cancel_at_period_end": True})  # no change
    undone = subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    at = subscriptions.update(subscription.id, {"cancel_at": "min_period_end"})

    assert (at_period_end.cancel_at_period_end, at_period_end.cancel_at) == (True, yearly)
    assert (undone.cancel_at_period_end, undone.cancel_at, undone.canceled_at) == (False, None, None)
    assert (at.cancel_at_period_end, at.cancel_at) == (False, monthly)
    assert len(sandbox.stripe.v1.events.list({"type": "customer.subscription.updated"}).data) == 3


def test_lists_hide_canceled_ones_unless_asked(sandbox: RunningSandbox, shop: Shop) -> None:
    subscriptions = sandbox.stripe.v1.subscriptions
    canceled, active = shop.subscribe().id, shop.subscribe().id
    subscriptions.cancel(canceled)

    def listed(params: Any) -> list[str]:
        return [one.id for one in subscriptions.list(params).data]

    assert listed({}) == [active]
    assert listed({"status": "all"}) == [active, canceled]
    assert listed({"status": "canceled"}) == listed({"status": "ended"}) == [canceled]
    assert listed({"customer": "cus_other", "status": "all"}) == []
    assert listed({"price": shop.monthly}) == [active]


def test_an_ended_subscription_can_be_read_but_not_revived(sandbox: RunningSandbox, shop: Shop) -> None:
    subscriptions, subscription = sandbox.stripe.v1.subscriptions, shop.subscribe()
    subscriptions.cancel(subscription.id, {"cancellation_details": {"comment": "too dear"}})

    found = subscriptions.update(subscription.id, {"metadata": {"noted": "yes"}})

    assert (found.status, found.metadata["noted"]) == ("canceled", "yes")
    assert found.cancellation_details is not None
    assert found.cancellation_details.comment == "too dear"
    with pytest.raises(stripe.InvalidRequestError, match="can only update its"):
        subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        subscriptions.cancel(subscription.id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        pytest.param({"items": []}, "items", id="no-items"),
        pytest.param({"items": [{"price": "price_1"}]}, "items[0][price]", id="no-such-price"),
        pytest.param({"items": [{"quantity": 1}]}, "items[0][price]", id="no-price"),
        pytest.param({"customer": "cus_1"}, "customer", id="no-such-customer"),
        pytest.param({"trial_end": 1}, "trial_end", id="trial-in-the-past"),
        pytest.param({"cancel_at": 1}, "cancel_at", id="end-in-the-past"),
        pytest.param({"cancel_at": 2**50}, "cancel_at", id="end-too-far-off"),
        pytest.param({"discounts": [{"coupon": "x"}]}, "discounts", id="not-simulated"),
    ],
)
def test_impossible_subscriptions_are_refused(
    sandbox: RunningSandbox, shop: Shop, change: Any, param: str
) -> None:
    params: Any = {"customer": shop.customer, "items": [{"price": shop.monthly}], **change}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.subscriptions.create(params)

    assert refused.value.http_status == 400
    assert refused.value.param == param


def test_prices_that_cannot_be_subscribed_to_are_refused(sandbox: RunningSandbox, shop: Shop) -> None:
    prices = sandbox.stripe.v1.prices
    once = prices.create({"product": shop.product, "currency": "eur", "unit_amount": 1}).id
    dollars = prices.create(
        {"product": shop.product, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}
    ).id
    prices.update(shop.yearly, {"active": False})

    with pytest.raises(stripe.InvalidRequestError, match="type=one_time"):
        shop.subscribe(once)
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.subscribe(shop.yearly)
    with pytest.raises(stripe.InvalidRequestError, match="currency"):
        shop.subscribe(shop.monthly, dollars)
    assert [event.type for event in sandbox.stripe.v1.events.list({"type": "customer.subscription.*"})] == []
