"""However far the clock is turned at once, everything happens at its own moment and in the same order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flux_sandbox.running import RunningSandbox, running_sandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_payments import DAY, HOUR, pays

START = 1_800_000_000


def live(sandbox: RunningSandbox) -> None:
    """Begin as many lives as there are ways to change by oneself."""
    shop = Shop(sandbox.stripe)
    subscriptions, schedules = sandbox.stripe.v1.subscriptions, sandbox.stripe.v1.subscription_schedules
    weekly = sandbox.stripe.v1.prices.create(
        {"product": shop.product, "currency": "eur", "unit_amount": 500, "recurring": {"interval": "week"}}
    ).id
    subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 9}
    )
    subscriptions.update(shop.subscribe(weekly).id, {"cancel_at": sandbox.now() + 17 * DAY})
    schedule = schedules.create({"from_subscription": shop.subscribe(weekly, shop.metered).id})
    phase: Any = schedule.phases[0]
    phases: Any = [
        {"items": [{"price": weekly}], "end_date": sandbox.now() + 7 * DAY},
        {"items": [{"price": weekly, "quantity": 4}], "duration": {"interval": "week"}},
    ]
    phases[0]["start_date"] = phase.start_date
    schedules.update(schedule.id, {"phases": phases})
    pause: Any = {"behavior": "void", "resumes_at": sandbox.now() + 10 * DAY}
    subscriptions.update(shop.subscribe(weekly).id, {"pause_collection": pause})
    late = sandbox.stripe.v1.customers.create({"name": "Late"}).id
    subscriptions.create({"customer": late, "items": [{"price": weekly}]})
    pays(sandbox, late, "fail")
    subscriptions.create({"customer": late, "items": [{"price": weekly}]})


def told(sandbox: RunningSandbox) -> list[tuple[str, int]]:
    page = sandbox.stripe.v1.events.list({"limit": 100})
    return [(event.type, event.created) for event in page.auto_paging_iter()]


@pytest.mark.parametrize("step", [DAY, 12 * HOUR])
def test_turning_the_clock_at_once_or_bit_by_bit_comes_to_the_same(step: int) -> None:
    with running_sandbox(clock=lambda: START) as at_once, running_sandbox(clock=lambda: START) as by_steps:
        live(at_once)
        live(by_steps)

        at_once.advance(25 * DAY)
        for _ in range(25 * DAY // step):
            by_steps.advance(step)

        expected = told(at_once)
        assert told(by_steps) == expected
        assert {
            "invoice.voided",
            "subscription_schedule.released",
            "customer.subscription.trial_will_end",
        } <= {type_ for type_, _ in expected}
