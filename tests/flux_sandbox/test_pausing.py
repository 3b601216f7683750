from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_payments import DAY, HOUR, invoice_events, pays
from tests.flux_sandbox.test_renewals import read, told


def trial(sandbox: RunningSandbox, shop: Shop, without_method: Any) -> stripe.Subscription:
    pays(sandbox, shop.customer, "missing")
    return sandbox.stripe.v1.subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.monthly}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": without_method}},
        }
    )


@pytest.mark.parametrize(
    ("behavior", "status", "event"),
    [
        pytest.param("cancel", "canceled", "deleted", id="cancel"),
        pytest.param("pause", "paused", "paused", id="pause"),
        pytest.param("create_invoice", "past_due", "updated", id="create-invoice"),
    ],
)
def test_a_trial_ends_without_a_payment_method(
    sandbox: RunningSandbox, shop: Shop, behavior: str, status: str, event: str
) -> None:
    trialing = trial(sandbox, shop, behavior)

    sandbox.advance(7 * DAY + HOUR)

    assert read(sandbox, trialing).status == status
    assert told(sandbox)[-1][0] == event


@pytest.mark.parametrize(
    ("days", "warned_at"), [pytest.param(7, 4, id="in-time"), pytest.param(2, 0, id="at-once")]
)
def test_a_trial_is_said_to_end_three_days_before(
    sandbox: RunningSandbox, shop: Shop, days: int, warned_at: int
) -> None:
    trialing = sandbox.stripe.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": days}
    )

    sandbox.advance(days * DAY)

    assert told(sandbox).count(("trial_will_end", trialing.created + warned_at * DAY)) == 1


def test_a_paused_subscription_is_resumed_with_a_new_period(sandbox: RunningSandbox, shop: Shop) -> None:
    trialing = trial(sandbox, shop, "pause")
    sandbox.advance(60 * DAY)
    pays(sandbox, shop.customer, "succeed")

    resumed = sandbox.stripe.v1.subscriptions.resume(trialing.id)

    assert resumed.status == "active"
    assert resumed.items.data[0].current_period_start >= trialing.created + 60 * DAY
    assert sandbox.stripe.v1.invoices.retrieve(str(resumed.latest_invoice)).status == "paid"
    assert told(sandbox)[-1][0] == "resumed"


def test_a_pause_ends_the_period_and_bills_what_was_used(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(shop.monthly, shop.metered)
    shop.use(7, "used")

    paused = sandbox.stripe.v1.subscriptions.pause(subscription.id)
    sandbox.advance(100 * DAY)

    assert (paused.status, read(sandbox, paused).status) == ("paused", "paused")
    assert {item.current_period_end for item in read(sandbox, paused).items.data} == {
        item.current_period_end for item in paused.items.data
    }
    assert paused.items.data[0].current_period_end < subscription.items.data[0].current_period_end
    assert sandbox.stripe.v1.invoices.retrieve(str(paused.latest_invoice)).amount_paid == 7
    assert paused.to_dict()["status_details"]["paused"]["subscription"]["type"] == "pause_requested"


@pytest.mark.parametrize(
    ("behavior", "status"),
    [
        pytest.param("resume_on_payment_attempt", "past_due", id="on-attempt"),
        pytest.param("resume_on_payment_success", "paused", id="on-success"),
    ],
)
def test_resuming_with_a_payment_that_fails(
    sandbox: RunningSandbox, shop: Shop, behavior: Any, status: str
) -> None:
    subscription = sandbox.stripe.v1.subscriptions.pause(shop.subscribe().id)
    pays(sandbox, shop.customer, "fail")

    resumed = sandbox.stripe.v1.subscriptions.resume(subscription.id, {"payment_behavior": behavior})
    sandbox.stage(f"invoices/{resumed.latest_invoice}/pay", {})

    assert resumed.status == status
    assert read(sandbox, subscription).status == "active"


def test_a_resumption_that_nobody_pays_is_taken_back(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = sandbox.stripe.v1.subscriptions.pause(shop.subscribe().id)
    pays(sandbox, shop.customer, "fail")
    waiting: Any = {"payment_behavior": "resume_on_payment_success"}
    resumed = sandbox.stripe.v1.subscriptions.resume(subscription.id, waiting)

    sandbox.advance(23 * HOUR)

    assert sandbox.stripe.v1.invoices.retrieve(str(resumed.latest_invoice)).status == "void"
    assert read(sandbox, subscription).status == "paused"


def test_resuming_in_the_old_grid_costs_nothing(sandbox: RunningSandbox, shop: Shop) -> None:
    before = shop.subscribe()
    sandbox.stripe.v1.subscriptions.pause(before.id)
    unchanged: Any = {"billing_cycle_anchor": {"type": "unchanged"}}

    resumed = sandbox.stripe.v1.subscriptions.resume(before.id, unchanged)

    assert resumed.status == "active"
    assert resumed.items.data[0].current_period_end == before.items.data[0].current_period_end
    assert resumed.latest_invoice == before.latest_invoice


def test_what_cannot_be_paused_or_resumed_is_refused(sandbox: RunningSandbox, shop: Shop) -> None:
    subscriptions = sandbox.stripe.v1.subscriptions
    classic = subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.monthly}],
            "billing_mode": {"type": "classic"},
        }
    )

    with pytest.raises(stripe.InvalidRequestError, match="flexible"):
        subscriptions.pause(classic.id)
    with pytest.raises(stripe.InvalidRequestError, match="not paused"):
        subscriptions.resume(classic.id)


@pytest.mark.parametrize(
    ("behavior", "status", "events"),
    [
        pytest.param("keep_as_draft", "draft", ["created"], id="draft"),
        pytest.param("void", "void", ["created", "voided"], id="void"),
        pytest.param(
            "mark_uncollectible",
            "uncollectible",
            ["created", "finalized", "marked_uncollectible"],
            id="uncollectible",
        ),
    ],
)
def test_paused_collection_bills_but_collects_nothing(
    sandbox: RunningSandbox, shop: Shop, behavior: Any, status: Any, events: list[str]
) -> None:
    subscription = shop.subscribe()
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": behavior}})

    sandbox.advance(31 * DAY + 2 * HOUR)

    (invoice,) = sandbox.stripe.v1.invoices.list({"status": status}).data
    assert invoice.billing_reason == "subscription_cycle"
    assert read(sandbox, subscription).status == "active"
    assert invoice_events(sandbox) == events


def test_paused_collection_ends_when_cleared_or_when_its_time_comes(
    sandbox: RunningSandbox, shop: Shop
) -> None:
    subscriptions, subscription = sandbox.stripe.v1.subscriptions, shop.subscribe()
    pause: Any = {"behavior": "void", "resumes_at": sandbox.now() + 10 * DAY}
    set_ = subscriptions.update(subscription.id, {"pause_collection": pause})

    cleared = subscriptions.update(subscription.id, {"pause_collection": ""})
    subscriptions.update(subscription.id, {"pause_collection": pause})
    sandbox.advance(10 * DAY)

    assert set_.pause_collection is not None
    assert set_.pause_collection.behavior == "void"
    assert cleared.pause_collection is None
    assert read(sandbox, subscription).pause_collection is None
