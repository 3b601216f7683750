from __future__ import annotations

import stripe

from tests.flux_sandbox.running import RunningSandbox, running_sandbox, wait_until
from tests.flux_sandbox.shop import Shop

DAY = 86_400


def told(sandbox: RunningSandbox) -> list[tuple[str, int]]:
    """Return what happened to subscriptions, oldest first, and when."""
    page = sandbox.stripe.v1.events.list({"type": "customer.subscription.*", "limit": 100})
    return [(event.type.rpartition(".")[2], event.created) for event in reversed(page.data)]


def read(sandbox: RunningSandbox, subscription: stripe.Subscription) -> stripe.Subscription:
    return sandbox.stripe.v1.subscriptions.retrieve(subscription.id)


def test_a_trial_ends_in_an_active_period(sandbox: RunningSandbox, shop: Shop) -> None:
    trialing = sandbox.stripe.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 7}
    )

    sandbox.advance(7 * DAY + 5)

    active = read(sandbox, trialing)
    assert active.status == "active"
    assert active.items.data[0].current_period_start == trialing.trial_end
    assert told(sandbox)[-1] == ("updated", trialing.trial_end)


def test_each_item_renews_at_its_own_time(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(shop.monthly, shop.yearly)
    monthly, yearly = subscription.items.data

    sandbox.advance(65 * DAY)

    renewed, unchanged = read(sandbox, subscription).items.data
    assert unchanged.current_period_end == yearly.current_period_end
    assert renewed.current_period_start > monthly.current_period_end
    assert renewed.current_period_start <= sandbox.now() < renewed.current_period_end


def test_a_scheduled_end_comes_in_place_of_the_renewal(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    end = subscription.items.data[0].current_period_end
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    sandbox.advance(end - sandbox.now() + 30)

    ended = read(sandbox, subscription)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert told(sandbox)[-1] == ("deleted", end)


def test_an_end_at_a_moment_comes_then(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    end = sandbox.now() + 10 * DAY
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at": end})

    sandbox.advance(9 * DAY)
    before = read(sandbox, subscription).status
    sandbox.advance(DAY)

    assert (before, read(sandbox, subscription).status) == ("active", "canceled")


def test_an_undone_end_does_not_come(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at": sandbox.now() + DAY})
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at": ""})

    sandbox.advance(2 * DAY)

    assert read(sandbox, subscription).status == "active"


def test_time_passes_although_nobody_asks() -> None:
    wall = [1_800_000_000.0]

    with running_sandbox(clock=lambda: wall[0]) as sandbox:
        shop = Shop(sandbox.stripe)
        subscription = shop.subscribe()
        sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at": 1_800_000_010})
        wall[0] += 10

        wait_until(lambda: "canceled" in sandbox.http.get("/").text)
