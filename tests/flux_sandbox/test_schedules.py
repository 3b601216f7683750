from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_payments import DAY, HOUR, pays
from tests.flux_sandbox.test_renewals import read


def adopt(sandbox: RunningSandbox, subscription: stripe.Subscription) -> stripe.SubscriptionSchedule:
    return sandbox.stripe.v1.subscription_schedules.create({"from_subscription": subscription.id})


def told(sandbox: RunningSandbox) -> list[str]:
    """Return what happened to schedules, oldest first."""
    page = sandbox.stripe.v1.events.list({"type": "subscription_schedule.*", "limit": 100})
    return [event.type.rpartition(".")[2] for event in reversed(page.data)]


def downgrade(
    sandbox: RunningSandbox, shop: Shop, schedule: stripe.SubscriptionSchedule, **more: Any
) -> stripe.SubscriptionSchedule:
    """Sell one in place of three from the next period on, for ten days."""
    (phase,) = schedule.phases
    params: Any = {
        "phases": [
            {
                "start_date": phase.start_date,
                "end_date": phase.end_date,
                "items": [{"price": shop.monthly, "quantity": 3}],
            },
            {
                "items": [{"price": shop.monthly, "quantity": 1}],
                "duration": {"interval": "day", "interval_count": 10},
                "metadata": {"phase": "small"},
            },
        ],
    }
    params |= more
    return sandbox.stripe.v1.subscription_schedules.update(schedule.id, params)


def test_a_downgrade_comes_at_the_end_of_the_period(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    (item,) = subscription.items.data
    sandbox.stripe.v1.subscription_items.update(item.id, {"quantity": 3})
    schedule = downgrade(sandbox, shop, adopt(sandbox, subscription))

    before = read(sandbox, subscription)
    sandbox.advance(item.current_period_end - sandbox.now() + 2 * HOUR)

    after = read(sandbox, subscription)
    assert before.schedule == schedule.id
    assert (before.items.data[0].quantity, after.items.data[0].quantity) == (3, 1)
    assert after.items.data[0].id == item.id
    assert after.metadata["phase"] == "small"
    assert sandbox.stripe.v1.invoices.retrieve(str(after.latest_invoice)).amount_paid == 4900
    assert told(sandbox)[-1] == "updated"


@pytest.mark.parametrize(
    ("end_behavior", "status", "of_the_subscription"),
    [
        pytest.param("release", "released", "active", id="release"),
        pytest.param("cancel", "completed", "canceled", id="cancel"),
    ],
)
def test_after_its_last_phase_a_schedule_ends(
    sandbox: RunningSandbox, shop: Shop, end_behavior: Any, status: str, of_the_subscription: str
) -> None:
    subscription = shop.subscribe()
    schedule = downgrade(sandbox, shop, adopt(sandbox, subscription), end_behavior=end_behavior)

    sandbox.advance(schedule.phases[-1].end_date - sandbox.now())

    ended = sandbox.stripe.v1.subscription_schedules.retrieve(schedule.id)
    assert (ended.status, ended.current_phase) == (status, None)
    assert read(sandbox, subscription).status == of_the_subscription
    assert told(sandbox)[-2:] == ["expiring", status]


def test_a_schedule_begins_a_subscription_later(sandbox: RunningSandbox, shop: Shop) -> None:
    schedules = sandbox.stripe.v1.subscription_schedules
    start = sandbox.now() + 5 * DAY
    params: Any = {
        "customer": shop.customer,
        "start_date": start,
        "phases": [{"items": [{"price": shop.monthly}], "duration": {"interval": "month"}}],
    }
    schedule = schedules.create(params)

    sandbox.advance(5 * DAY)

    begun = schedules.retrieve(schedule.id, {"expand": ["subscription"]})
    assert (schedule.status, schedule.subscription, begun.status) == ("not_started", None, "active")
    assert isinstance(begun.subscription, stripe.Subscription)
    assert (begun.subscription.start_date, begun.subscription.status) == (start, "active")
    assert [one.id for one in schedules.list({"customer": shop.customer}).data] == [schedule.id]


def test_another_interval_begins_a_period_at_once(sandbox: RunningSandbox, shop: Shop) -> None:
    params: Any = {
        "customer": shop.customer,
        "phases": [
            {"items": [{"price": shop.monthly}], "duration": {"interval": "day", "interval_count": 10}},
            {"items": [{"price": shop.yearly}, {"price": shop.metered}], "duration": {"interval": "year"}},
        ],
    }
    schedule = sandbox.stripe.v1.subscription_schedules.create(params)

    sandbox.advance(10 * DAY)

    subscription = sandbox.stripe.v1.subscriptions.retrieve(str(schedule.subscription))
    assert [item.price.id for item in subscription.items.data] == [shop.yearly, shop.metered]
    assert subscription.items.data[0].current_period_start == schedule.phases[1].start_date
    assert sandbox.stripe.v1.invoices.retrieve(str(subscription.latest_invoice)).amount_paid == 4900


def test_a_released_subscription_stays_as_it_is(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    schedule = downgrade(sandbox, shop, adopt(sandbox, subscription))

    released = sandbox.stripe.v1.subscription_schedules.release(schedule.id)
    sandbox.advance(60 * DAY)

    assert (released.status, released.released_subscription) == ("released", subscription.id)
    assert (read(sandbox, subscription).schedule, read(sandbox, subscription).status) == (None, "active")
    assert read(sandbox, subscription).items.data[0].quantity == 3
    with pytest.raises(stripe.InvalidRequestError, match="released"):
        sandbox.stripe.v1.subscription_schedules.cancel(schedule.id)


def test_schedule_and_subscription_end_together(sandbox: RunningSandbox, shop: Shop) -> None:
    one, other, third = shop.subscribe(), shop.subscribe(), shop.subscribe()
    of_one, of_other = adopt(sandbox, one), downgrade(sandbox, shop, adopt(sandbox, other))
    downgrade(sandbox, shop, adopt(sandbox, third))

    sandbox.stripe.v1.subscription_schedules.cancel(of_one.id)
    sandbox.stripe.v1.subscriptions.cancel(other.id)
    pays(sandbox, shop.customer, "fail")
    sandbox.advance(34 * DAY)

    assert read(sandbox, one).status == "canceled"
    assert sandbox.stripe.v1.subscription_schedules.retrieve(of_other.id).status == "canceled"
    assert read(sandbox, third).status == "past_due"


def test_a_scheduled_end_ends_the_schedule_too(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    schedule = adopt(sandbox, subscription)
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at": sandbox.now() + DAY})

    sandbox.advance(2 * DAY)

    assert sandbox.stripe.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"


def test_a_phase_that_cannot_be_entered_ends_the_schedule(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    params: Any = {
        "customer": shop.customer,
        "start_date": sandbox.now() + DAY,
        "phases": [{"items": [{"price": shop.yearly}], "duration": {"interval": "month"}}],
    }
    sandbox.stripe.v1.subscription_schedules.create(params)
    sandbox.stripe.v1.prices.update(shop.yearly, {"active": False})

    sandbox.advance(2 * DAY)

    assert told(sandbox) == ["created", "aborted"]
    assert read(sandbox, subscription).status == "active"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({}, "customer", id="nothing"),
        pytest.param(
            {"customer": "cus_none", "phases": [{"items": [{"price": "p"}]}]}, "customer", id="customer"
        ),
        pytest.param({"from_subscription": "sub_none"}, "from_subscription", id="subscription"),
        pytest.param({"from_subscription": "sub_none", "end_behavior": "cancel"}, "end_behavior", id="both"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(sandbox: RunningSandbox, params: Any, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.subscription_schedules.create(params)

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"end_date": 5}, "in the future", id="past"),
        pytest.param({}, "exactly one of", id="no-end"),
        pytest.param({"start_date": 5, "end_date": 2**33}, "start date", id="moved"),
    ],
)
def test_a_phase_that_cannot_be_is_refused(
    sandbox: RunningSandbox, shop: Shop, change: Any, message: str
) -> None:
    schedule = adopt(sandbox, shop.subscribe())
    params: Any = {"phases": [{"items": [{"price": shop.monthly}], **change}]}

    with pytest.raises(stripe.InvalidRequestError, match=message):
        sandbox.stripe.v1.subscription_schedules.update(schedule.id, params)
