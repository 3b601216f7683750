"""Acceptance scenarios 25 to 36: what a subscription gives, whatever becomes of it.

A server and a sandbox, each on a socket of its own, and a clock that is turned for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flux_sandbox.testing import StripeSandbox
from flux_server.settings import Settings
from tests.flux_server.stripe.scenarios.shop import DAY, Shop, open_shop

MONTH = 31 * DAY


@pytest.fixture(scope="module")
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as running:
        yield running


@pytest.fixture
def shop(sandbox: StripeSandbox, settings: Settings) -> Iterator[Shop]:
    sandbox.reset()
    with open_shop(sandbox, settings) as shop:
        yield shop
    assert sandbox.violations == []


def trialing(shop: Shop) -> None:
    shop.subscribe(trial_period_days=14)


def active(shop: Shop) -> None:
    shop.subscribe()


def past_due(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer=customer)
    shop.pays(customer, "fail")
    # In two steps: the server sees it as soon as it happens, and its clock follows a moment later.
    shop.sandbox.advance(MONTH - 3 * DAY)
    shop.soon(lambda: shop.server.app.state.clock() > shop.sandbox.now() - DAY, "the server's clock follows")
    shop.sandbox.advance(4 * DAY)


def grace_over(shop: Shop) -> None:
    past_due(shop)
    shop.is_seen_as("past_due")
    shop.has(5)
    shop.go_deaf()
    shop.sandbox.advance(7 * DAY)  # payment is tried again for two weeks


def unpaid(shop: Shop) -> None:
    shop.control("settings", {"after_dunning": "unpaid"})
    past_due(shop)
    shop.sandbox.advance(20 * DAY)


def canceled(shop: Shop) -> None:
    shop.stripe.subscriptions.cancel(shop.subscribe().id)


def incomplete(shop: Shop) -> None:
    customer = shop.customer()
    shop.pays(customer, "fail")
    shop.subscribe(customer=customer, payment_behavior="default_incomplete")


def incomplete_expired(shop: Shop) -> None:
    incomplete(shop)
    shop.sandbox.advance(DAY)


def paused(shop: Shop) -> None:
    customer = shop.customer()
    shop.pays(customer, "missing")
    behavior = {"end_behavior": {"missing_payment_method": "pause"}}
    shop.subscribe(customer=customer, trial_period_days=14, trial_settings=behavior)
    shop.sandbox.advance(15 * DAY)


def unknown(shop: Shop) -> None:
    subscription = shop.subscribe()
    shop.has(5)
    shop.control(f"subscriptions/{subscription.id}", {"status": "hibernating"})


@pytest.mark.parametrize(
    ("come_to", "status", "seats"),
    [
        pytest.param(trialing, "trialing", 5, id="trialing"),
        pytest.param(active, "active", 5, id="active"),
        pytest.param(past_due, "past_due", 5, id="past_due"),
        pytest.param(grace_over, "past_due", None, id="past_due-grace-over"),
        pytest.param(unpaid, "unpaid", None, id="unpaid"),
        pytest.param(canceled, "canceled", None, id="canceled"),
        pytest.param(incomplete, "incomplete", None, id="incomplete"),
        pytest.param(incomplete_expired, "incomplete_expired", None, id="incomplete_expired"),
        pytest.param(paused, "paused", None, id="paused"),
        pytest.param(unknown, "hibernating", 5, id="unknown"),
    ],
)
def test_25_each_status_gives_what_the_table_says(
    shop: Shop, come_to: Callable[[Shop], None], status: str, seats: int | None
) -> None:
    come_to(shop)

    shop.is_seen_as(status)
    assert shop.has(seats or 0)


@pytest.mark.parametrize("first", ["licensed", "metered"])
def test_26_the_order_of_items_does_not_matter(shop: Shop, first: str) -> None:
    items = [shop.pro, shop.calls]

    shop.subscribe(*(items if first == "licensed" else reversed(items)))

    assert shop.has(5)


def test_27_add_ons_add_up_and_follow_their_quantity(shop: Shop) -> None:
    other = shop.price(shop.stripe.products.create({"name": "Seats too"}).id, "month")
    catalog = shop.catalog()
    catalog["plans"]["seats"]["prices"].append(other)
    shop.flux.put("/v1/catalog", json=catalog).raise_for_status()

    subscription = shop.subscribe(
        shop.pro, {"price": shop.seats, "quantity": 3}, {"price": other, "quantity": 3}
    )
    assert shop.has(5 + 3 + 3)

    (item,) = [each for each in subscription.items.data if each.price.id == other]
    for quantity in (2, 7, 3):
        shop.stripe.subscription_items.update(item.id, {"quantity": quantity})
        assert shop.has(5 + 3 + quantity)


@pytest.mark.parametrize("mode", ["classic", "flexible"])
def test_28_a_cancel_in_the_portal_ends_access_with_the_period(shop: Shop, mode: str) -> None:
    subscription = shop.subscribe(billing_mode={"type": mode})
    shop.has(5)
    shop.control(f"subscriptions/{subscription.id}/portal_cancel", {})
    end = subscription.items.data[0].current_period_end

    shop.soon(lambda: shop.explained("seats")["until"] == end, "the end is known")
    assert shop.value() == 5
    shop.go_deaf()
    shop.sandbox.advance(MONTH + DAY)
    assert shop.has(0)


@pytest.mark.parametrize("mode", ["classic", "flexible"])
def test_28_a_cancel_that_is_taken_back_ends_nothing(shop: Shop, mode: str) -> None:
    subscription = shop.subscribe(billing_mode={"type": mode})
    shop.control(f"subscriptions/{subscription.id}/portal_cancel", {})
    end = subscription.items.data[0].current_period_end
    shop.soon(lambda: shop.explained("seats")["until"] == end, "the end is known")

    back: dict[str, object] = {"cancel_at_period_end": False} if mode == "classic" else {"cancel_at": ""}
    shop.stripe.subscriptions.update(subscription.id, back)
    shop.soon(lambda: shop.explained("seats")["until"] != end, "the end is taken back")
    shop.sandbox.advance(MONTH + DAY)

    assert shop.has(5)


def upgrade_unpaid(shop: Shop) -> tuple[str, str]:
    """Ask for plan team in place of pro, which waits for a payment that fails; return customer and subscription."""
    customer = shop.customer()
    subscription = shop.subscribe(customer=customer)
    shop.has(5)
    shop.pays(customer, "fail")
    params = {
        "items": [{"id": subscription.items.data[0].id, "price": shop.team}],
        "payment_behavior": "pending_if_incomplete",
        "proration_behavior": "always_invoice",
    }
    found = shop.stripe.subscriptions.update(subscription.id, params)
    assert found.pending_update is not None
    shop.sandbox.wait_delivered()
    return customer, subscription.id


def test_29_an_update_that_waits_gives_nothing_until_it_is_paid(shop: Shop) -> None:
    _, subscription = upgrade_unpaid(shop)
    assert shop.value() == 5

    invoice = shop.stripe.subscriptions.retrieve(subscription).latest_invoice
    shop.control(f"invoices/{invoice}/pay", {})

    assert shop.has(50)


def test_29_an_update_that_expires_gives_nothing(shop: Shop) -> None:
    _, subscription = upgrade_unpaid(shop)

    shop.sandbox.advance(DAY)
    assert shop.stripe.subscriptions.retrieve(subscription).pending_update is None
    shop.sandbox.wait_delivered()

    assert shop.value() == 5


def test_30_an_upgrade_counts_at_once_and_a_downgrade_by_schedule_in_its_time(shop: Shop) -> None:
    subscription = shop.subscribe()
    (item,) = subscription.items.data
    shop.has(5)
    shop.stripe.subscriptions.update(subscription.id, {"items": [{"id": item.id, "price": shop.team}]})
    assert shop.has(50)

    schedule = shop.stripe.subscription_schedules.create({"from_subscription": subscription.id})
    (phase,) = schedule.phases
    now = {
        "start_date": phase.start_date,
        "end_date": phase.end_date,
        "items": [{"price": shop.team}],
    }
    later = {"items": [{"price": shop.pro}], "duration": {"interval": "month", "interval_count": 6}}
    shop.stripe.subscription_schedules.update(schedule.id, {"phases": [now, later]})
    shop.sandbox.wait_delivered()
    assert shop.value() == 50
    shop.sandbox.advance(MONTH + DAY)

    assert shop.has(5)


def test_30_a_trial_becomes_a_subscription(shop: Shop) -> None:
    trialing(shop)
    shop.is_seen_as("trialing")

    shop.sandbox.advance(15 * DAY)

    shop.is_seen_as("active")
    assert shop.has(5)


def test_30_a_trial_that_was_paused_gives_again_once_it_is_resumed(shop: Shop) -> None:
    paused(shop)
    shop.is_seen_as("paused")
    assert shop.has(0)

    (subscription,) = shop.stripe.subscriptions.list({"status": "paused"}).data
    shop.pays(str(subscription.customer), "succeed")
    shop.stripe.subscriptions.resume(subscription.id, {"billing_cycle_anchor": "now"})

    assert shop.has(5)


def test_31_a_monthly_add_on_ends_and_the_yearly_base_stays(shop: Shop) -> None:
    subscription = shop.subscribe(
        shop.yearly, {"price": shop.seats, "quantity": 4}, billing_mode={"type": "flexible"}
    )
    assert shop.has(9)

    (addon,) = [each for each in subscription.items.data if each.price.id == shop.seats]
    shop.stripe.subscription_items.delete(addon.id)
    assert shop.has(5)
    shop.sandbox.advance(2 * MONTH)

    assert shop.has(5)


def test_32_one_of_two_subscriptions_ends_and_the_other_stays(shop: Shop) -> None:
    customer = shop.customer()
    large = shop.subscribe(shop.team, customer=customer)
    shop.subscribe(shop.pro, customer=shop.customer())  # the same organization's
    assert shop.has(50)
    assert shop.has(True, "sso")

    shop.stripe.subscriptions.cancel(large.id)

    assert shop.has(5)
    assert shop.value("sso") is True


def test_33_a_subscription_of_nobody_known_provisions_once_its_customer_is_mapped(shop: Shop) -> None:
    customer = shop.customer(organization="")
    subscription = shop.subscribe(customer=customer)

    def waiting() -> list[dict[str, str]]:
        found: list[dict[str, str]] = shop.flux.get("/v1/stripe/unmapped").json()["subscriptions"]
        return [each for each in found if each["customer"] == customer and each["customer_name"]]

    shop.soon(lambda: len(waiting()) == 1, "it is in quarantine")
    assert waiting()[0]["subscription"] == subscription.id
    shop.sandbox.wait_delivered()
    sent = len(shop.sandbox.deliveries)
    shop.flux.put(
        f"/v1/stripe/customers/{customer}", json={"organization": shop.organization}
    ).raise_for_status()

    assert shop.value() == 5
    assert waiting() == []
    assert len(shop.sandbox.deliveries) == sent


def test_34_all_25_of_stripes_own_entitlements_count(shop: Shop) -> None:
    catalog = shop.catalog()
    for number in range(25):
        made = shop.stripe.entitlements.features.create(
            {"name": f"Extra {number}", "lookup_key": f"extra-{number}"}
        )
        shop.stripe.products.features.create(shop.product, {"entitlement_feature": made.id})
        catalog["features"][f"extra-{number}"] = {"kind": "boolean"}
    shop.flux.put("/v1/catalog", json=catalog).raise_for_status()
    shop.link(stripe_entitlements=True)

    shop.subscribe()

    for number in range(25):
        assert shop.has(True, f"extra-{number}")
    shop.link(stripe_entitlements=False)
    assert not shop.value("extra-24")


@pytest.mark.parametrize(("existing", "seats"), [("migrate", 50), ("stay", 5)])
def test_35_a_price_that_moves_to_another_plan_needs_nothing_of_stripe(
    shop: Shop, existing: str, seats: int
) -> None:
    names = (shop.organization, f"{shop.organization}-too")
    for name in names:
        shop.subscribe(customer=shop.customer(name))
        shop.has(5, organization=name)
    shop.sandbox.wait_delivered()
    shop.soon(lambda: shop.waiting_reads() == 0, "everything is read")
    asked = len(shop.sandbox.requests)

    catalog = shop.catalog()
    catalog["plans"]["pro"]["prices"].remove(shop.pro)
    catalog["plans"]["team"]["prices"].append(shop.pro)
    shop.flux.put("/v1/catalog", json=catalog, params={"existing": existing}).raise_for_status()

    assert [shop.value(organization=name) for name in names] == [seats, seats]
    assert len(shop.sandbox.requests) == asked


def test_36_checks_are_answered_while_stripe_is_down(settings: Settings) -> None:
    with StripeSandbox() as sandbox, open_shop(sandbox, settings) as shop:
        shop.subscribe()
        shop.has(5)

        sandbox.stop()
        shop.flux.post("/v1/stripe/sync").raise_for_status()

        assert shop.value() == 5
        assert shop.value("sso") is True
