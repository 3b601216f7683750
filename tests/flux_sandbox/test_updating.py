from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_payments import HOUR, pays
from tests.flux_sandbox.test_renewals import read, told


def upgrade(
    sandbox: RunningSandbox, shop: Shop, subscription: stripe.Subscription, **how: Any
) -> stripe.Subscription:
    """Change to the yearly price, whose period begins at once."""
    item = subscription.items.data[0].id
    params: Any = {"items": [{"id": item, "price": shop.yearly}], **how}
    return sandbox.stripe.v1.subscriptions.update(subscription.id, params)


def test_a_new_period_is_paid_at_once(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()

    upgraded = upgrade(sandbox, shop, subscription)

    invoice = sandbox.stripe.v1.invoices.retrieve(str(upgraded.latest_invoice))
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert upgraded.latest_invoice != subscription.latest_invoice


def test_more_of_the_same_is_paid_at_once_only_if_asked(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    more: Any = {"items": [{"id": subscription.items.data[0].id, "quantity": 3}]}

    later = sandbox.stripe.v1.subscriptions.update(subscription.id, more)
    more["items"][0]["quantity"] = 5
    now = sandbox.stripe.v1.subscriptions.update(
        subscription.id, more | {"proration_behavior": "always_invoice"}
    )

    assert later.latest_invoice == subscription.latest_invoice
    assert sandbox.stripe.v1.invoices.retrieve(str(now.latest_invoice)).amount_paid == 5 * 4900


@pytest.mark.parametrize("behavior", ["allow_incomplete", "default_incomplete"])
def test_a_change_whose_payment_fails_is_made_and_overdue(
    sandbox: RunningSandbox, shop: Shop, behavior: str
) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")

    upgraded = upgrade(sandbox, shop, subscription, payment_behavior=behavior)
    sandbox.stage(f"invoices/{upgraded.latest_invoice}/pay", {})

    assert (upgraded.status, upgraded.items.data[0].price.id) == ("past_due", shop.yearly)
    assert read(sandbox, subscription).status == "active"


def test_a_change_that_must_be_paid_is_refused(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")

    with pytest.raises(stripe.CardError):
        upgrade(sandbox, shop, subscription, payment_behavior="error_if_incomplete")

    assert read(sandbox, subscription).to_dict() == subscription.to_dict()


def test_a_pending_change_is_applied_when_paid(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")

    waiting = upgrade(sandbox, shop, subscription, payment_behavior="pending_if_incomplete")
    sandbox.stage(f"invoices/{waiting.latest_invoice}/pay", {})

    assert (waiting.status, waiting.items.data[0].price.id) == ("active", shop.monthly)
    assert waiting.pending_update is not None
    assert waiting.pending_update.subscription_items is not None
    assert waiting.pending_update.subscription_items[0].price.id == shop.yearly
    applied = read(sandbox, subscription)
    assert (applied.items.data[0].price.id, applied.pending_update) == (shop.yearly, None)
    assert [event for event, _ in told(sandbox)][-2:] == ["updated", "pending_update_applied"]


def test_a_pending_change_that_nobody_pays_is_dropped(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")
    waiting = upgrade(sandbox, shop, subscription, payment_behavior="pending_if_incomplete")

    sandbox.advance(23 * HOUR)

    dropped = read(sandbox, subscription)
    assert (dropped.items.data[0].price.id, dropped.pending_update) == (shop.monthly, None)
    assert sandbox.stripe.v1.invoices.retrieve(str(waiting.latest_invoice)).status == "void"
    assert told(sandbox)[-1][0] == "pending_update_expired"


def test_a_pending_change_is_dropped_with_its_invoice(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")
    waiting = upgrade(sandbox, shop, subscription, payment_behavior="pending_if_incomplete")

    sandbox.stripe.v1.invoices.void_invoice(str(waiting.latest_invoice))

    assert read(sandbox, subscription).pending_update is None
    assert told(sandbox)[-1][0] == "pending_update_expired"


def test_a_change_that_is_paid_at_once_waits_for_nothing(sandbox: RunningSandbox, shop: Shop) -> None:
    upgraded = upgrade(sandbox, shop, shop.subscribe(), payment_behavior="pending_if_incomplete")

    assert (upgraded.items.data[0].price.id, upgraded.pending_update) == (shop.yearly, None)


def test_only_items_can_wait_for_their_payment(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()

    with pytest.raises(stripe.InvalidRequestError, match="pending_if_incomplete"):
        upgrade(
            sandbox,
            shop,
            subscription,
            payment_behavior="pending_if_incomplete",
            metadata={"note": "x"},
        )


@pytest.mark.parametrize(
    ("mode", "at_period_end"), [pytest.param("flexible", False), pytest.param("classic", True)]
)
def test_the_portal_schedules_an_end_in_the_way_of_the_billing_mode(
    sandbox: RunningSandbox, shop: Shop, mode: Any, at_period_end: bool
) -> None:
    subscription = sandbox.stripe.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "billing_mode": {"type": mode}}
    )

    scheduled = sandbox.stage(f"subscriptions/{subscription.id}/portal_cancel", {})

    assert scheduled["cancel_at"] == subscription.items.data[0].current_period_end
    assert scheduled["cancel_at_period_end"] is at_period_end


def test_items_of_different_intervals_need_flexible_billing(sandbox: RunningSandbox, shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="must have the same"):
        sandbox.stripe.v1.subscriptions.create(
            {
                "customer": shop.customer,
                "items": [{"price": shop.monthly}, {"price": shop.yearly}],
                "billing_mode": {"type": "classic"},
            }
        )


def test_a_state_that_nobody_knows_can_be_forced(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()

    sandbox.stage(f"subscriptions/{subscription.id}", {"status": "hibernating", "den": "north"})

    found = read(sandbox, subscription).to_dict()
    assert (found["status"], found["den"]) == ("hibernating", "north")
    assert told(sandbox)[-1][0] == "updated"
