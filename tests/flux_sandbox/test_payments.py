from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop

DAY = 86_400
HOUR = 3_600


def pays(sandbox: RunningSandbox, customer: str, outcome: str | None) -> None:
    """Let the customer's payments go one way."""
    sandbox.stage(f"customers/{customer}/payments", {"outcome": outcome})


def invoice_events(sandbox: RunningSandbox) -> list[str]:
    """Return what happened to invoices, oldest first."""
    page = sandbox.stripe.v1.events.list({"type": "invoice.*", "limit": 100})
    return [event.type.removeprefix("invoice.") for event in reversed(page.data)]


def test_each_period_has_an_invoice(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()

    sandbox.advance(31 * DAY + 2 * HOUR)

    renewal, first = sandbox.stripe.v1.invoices.list({"subscription": subscription.id}).data
    assert (first.billing_reason, renewal.billing_reason) == ("subscription_create", "subscription_cycle")
    assert {first.status, renewal.status} == {"paid"}
    assert (first.amount_paid, first.lines.data[0].invoice) == (4900, first.id)
    assert first.parent is not None
    assert first.parent.subscription_details is not None
    assert first.parent.subscription_details.subscription == subscription.id
    of_the_renewal = invoice_events(sandbox)  # those of the first invoice are over 30 days old
    assert of_the_renewal == ["created", "finalized", "paid", "payment_succeeded"]


def test_a_renewals_invoice_is_a_draft_for_an_hour_and_counts_usage_until_then(
    sandbox: RunningSandbox, shop: Shop
) -> None:
    subscription = shop.subscribe(shop.metered)
    end = subscription.items.data[0].current_period_end
    shop.use(40, "early")
    sandbox.advance(end - sandbox.now() + 60)

    draft = sandbox.stripe.v1.invoices.list({"status": "draft"}).data[0]
    shop.use(2, "late", end - 5)
    shop.use(100, "of-the-next-period", end + 5)
    sandbox.advance(HOUR)

    assert draft.amount_due == 40
    assert sandbox.stripe.v1.invoices.retrieve(draft.id).amount_paid == 42


def test_a_first_payment_that_fails_leaves_the_subscription_incomplete(
    sandbox: RunningSandbox, shop: Shop
) -> None:
    pays(sandbox, shop.customer, "fail")

    incomplete = shop.subscribe()

    assert incomplete.status == "incomplete"
    assert isinstance(incomplete.latest_invoice, str)
    assert sandbox.stripe.v1.invoices.retrieve(incomplete.latest_invoice).status == "open"
    assert invoice_events(sandbox) == ["created", "finalized", "payment_failed"]


@pytest.mark.parametrize("behavior", ["default_incomplete", "allow_incomplete"])
def test_paying_the_first_invoice_activates(sandbox: RunningSandbox, shop: Shop, behavior: Any) -> None:
    pays(sandbox, shop.customer, "fail")
    incomplete = sandbox.stripe.v1.subscriptions.create(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "payment_behavior": behavior}
    )

    sandbox.stripe.v1.invoices.pay(str(incomplete.latest_invoice), {"payment_method": "pm_card_visa"})

    assert incomplete.status == "incomplete"
    assert sandbox.stripe.v1.subscriptions.retrieve(incomplete.id).status == "active"


def test_what_is_not_paid_within_23_hours_expires(sandbox: RunningSandbox, shop: Shop) -> None:
    pays(sandbox, shop.customer, "fail")
    incomplete = shop.subscribe()

    sandbox.advance(23 * HOUR)

    expired = sandbox.stripe.v1.subscriptions.retrieve(incomplete.id)
    assert (expired.status, expired.ended_at) == ("incomplete_expired", incomplete.created + 23 * HOUR)
    assert sandbox.stripe.v1.invoices.retrieve(str(expired.latest_invoice)).status == "void"


def test_a_payment_that_must_succeed_is_refused_and_nothing_is_made(
    sandbox: RunningSandbox, shop: Shop
) -> None:
    with pytest.raises(stripe.CardError, match="declined"):
        sandbox.stripe.v1.subscriptions.create(
            {
                "customer": shop.customer,
                "items": [{"price": shop.monthly}],
                "default_payment_method": "pm_card_chargeCustomerFail",
                "payment_behavior": "error_if_incomplete",
            }
        )

    assert sandbox.stripe.v1.subscriptions.list({"status": "all"}).data == []
    assert invoice_events(sandbox) == []


def test_a_payment_that_needs_the_customer_waits_for_it(sandbox: RunningSandbox, shop: Shop) -> None:
    pays(sandbox, shop.customer, "require_action")
    incomplete = shop.subscribe()

    with pytest.raises(stripe.CardError, match="requires additional user action"):
        sandbox.stripe.v1.invoices.pay(str(incomplete.latest_invoice))
    sandbox.stage(f"invoices/{incomplete.latest_invoice}/pay", {})

    assert sandbox.stripe.v1.subscriptions.retrieve(incomplete.id).status == "active"
    assert "payment_action_required" in invoice_events(sandbox)


def test_a_customer_without_a_payment_method_cannot_subscribe(sandbox: RunningSandbox, shop: Shop) -> None:
    pays(sandbox, shop.customer, "missing")

    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        shop.subscribe()


def test_the_customers_payment_method_decides(sandbox: RunningSandbox, shop: Shop) -> None:
    customers = sandbox.stripe.v1.customers
    customers.update(
        shop.customer, {"invoice_settings": {"default_payment_method": "pm_card_chargeCustomerFail"}}
    )

    assert shop.subscribe().status == "incomplete"
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_method"):
        customers.update(shop.customer, {"invoice_settings": {"default_payment_method": "pm_other"}})


def test_a_failing_renewal_is_tried_for_two_weeks_then_cancels(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    end = subscription.items.data[0].current_period_end
    pays(sandbox, shop.customer, "fail")

    sandbox.advance(end - sandbox.now() + HOUR)
    late = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)
    sandbox.advance(14 * DAY)

    canceled = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)
    assert (late.status, canceled.status) == ("past_due", "canceled")
    assert canceled.ended_at == end + HOUR + 14 * DAY
    assert canceled.cancellation_details is not None
    assert canceled.cancellation_details.reason == "payment_failed"
    assert invoice_events(sandbox).count("payment_failed") == 9


@pytest.mark.parametrize("after", ["unpaid", "past_due"])
def test_a_test_can_choose_what_dunning_ends_in(sandbox: RunningSandbox, shop: Shop, after: str) -> None:
    sandbox.stage("settings", {"after_dunning": after})
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")
    sandbox.advance(50 * DAY)
    ended = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)

    pays(sandbox, shop.customer, None)
    sandbox.stripe.v1.invoices.pay(str(ended.latest_invoice))

    assert ended.status == after
    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_paying_ends_dunning(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")
    sandbox.advance(33 * DAY)
    late = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)
    with pytest.raises(stripe.CardError):
        sandbox.stripe.v1.invoices.pay(str(late.latest_invoice))

    pays(sandbox, shop.customer, "succeed")
    sandbox.stripe.v1.invoices.pay(str(late.latest_invoice))
    sandbox.advance(20 * DAY)

    assert late.status == "past_due"
    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_an_invoice_that_is_sent_is_overdue_after_its_days(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = sandbox.stripe.v1.subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.monthly}],
            "collection_method": "send_invoice",
            "days_until_due": 7,
        }
    )

    sandbox.advance(7 * DAY)

    late = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)
    assert (subscription.status, late.status) == ("active", "past_due")
    assert invoice_events(sandbox) == ["created", "finalized", "overdue"]


def test_an_immediate_end_bills_what_was_used_only_if_asked(sandbox: RunningSandbox, shop: Shop) -> None:
    subscriptions = sandbox.stripe.v1.subscriptions
    kept, lost = shop.subscribe(shop.metered), shop.subscribe(shop.metered)
    shop.use(41, "used")

    billed = subscriptions.cancel(kept.id, {"invoice_now": True})
    discarded = subscriptions.cancel(lost.id)

    final = sandbox.stripe.v1.invoices.retrieve(str(billed.latest_invoice))
    assert (final.status, final.amount_paid) == ("paid", 41)
    assert discarded.latest_invoice == lost.latest_invoice


def test_a_scheduled_end_bills_what_was_used_until_then(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(shop.metered)
    end = subscription.items.data[0].current_period_end
    shop.use(41, "used")
    sandbox.stripe.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    sandbox.advance(end - sandbox.now() + HOUR)

    ended = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)
    final = sandbox.stripe.v1.invoices.retrieve(str(ended.latest_invoice))
    assert (ended.status, final.status, final.amount_paid) == ("canceled", "paid", 41)


def test_nothing_that_was_owed_before_is_collected_after_the_end(sandbox: RunningSandbox, shop: Shop) -> None:
    weekly = sandbox.stripe.v1.prices.create(
        {"product": shop.product, "currency": "eur", "unit_amount": 1, "recurring": {"interval": "week"}}
    ).id
    subscription = shop.subscribe(weekly)
    pays(sandbox, shop.customer, "fail")
    sandbox.advance(22 * DAY)  # the first of three renewals was tried for two weeks, the third is a draft

    pays(sandbox, shop.customer, "succeed")
    sandbox.advance(20 * DAY)

    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    statuses = [one.status for one in sandbox.stripe.v1.invoices.list().data]
    assert statuses == ["draft", "open", "open", "paid"]


def test_voiding_the_first_invoice_ends_what_never_began(sandbox: RunningSandbox, shop: Shop) -> None:
    pays(sandbox, shop.customer, "fail")
    incomplete = shop.subscribe()

    sandbox.stripe.v1.invoices.void_invoice(str(incomplete.latest_invoice))

    assert sandbox.stripe.v1.subscriptions.retrieve(incomplete.id).status == "incomplete_expired"
    with pytest.raises(stripe.InvalidRequestError, match="this one is void"):
        sandbox.stripe.v1.invoices.mark_uncollectible(str(incomplete.latest_invoice))


def test_giving_a_renewal_up_ends_dunning(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    pays(sandbox, shop.customer, "fail")
    sandbox.advance(33 * DAY)
    late = sandbox.stripe.v1.subscriptions.retrieve(subscription.id)

    sandbox.stripe.v1.invoices.mark_uncollectible(str(late.latest_invoice))
    sandbox.advance(20 * DAY)

    assert late.status == "past_due"
    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_a_draft_is_finalized_before_its_time(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    keep: Any = {"pause_collection": {"behavior": "keep_as_draft"}}
    sandbox.stripe.v1.subscriptions.update(subscription.id, keep)
    sandbox.advance(32 * DAY)
    (draft,) = sandbox.stripe.v1.invoices.list({"status": "draft"}).data

    opened = sandbox.stripe.v1.invoices.finalize_invoice(draft.id)
    paid = sandbox.stripe.v1.invoices.pay(draft.id, {"paid_out_of_band": True})

    assert (opened.status, paid.status) == ("open", "paid")
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        sandbox.stripe.v1.invoices.pay(draft.id)


def test_the_lines_of_an_invoice_are_pages(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(*[shop.monthly] * 12)

    invoice = sandbox.stripe.v1.invoices.retrieve(str(subscription.latest_invoice))

    assert (len(invoice.lines.data), invoice.lines.has_more) == (10, True)
    assert len(list(sandbox.stripe.v1.invoices.line_items.list(invoice.id).auto_paging_iter())) == 12


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        pytest.param("settings", {"after_dunning": "sunshine"}, "after_dunning", id="choice"),
        pytest.param("customers/cus_none/payments", {"outcome": "fail"}, "No such customer", id="nobody"),
        pytest.param("subscriptions/sub_none", ["x"], "Expected `object`", id="not-an-object"),
    ],
)
def test_what_cannot_be_set_is_refused(sandbox: RunningSandbox, path: str, body: Any, message: str) -> None:
    answer = sandbox.http.post(f"/_sandbox/{path}", json=body)

    assert answer.status_code in (400, 404)
    assert message in answer.json()["error"]["message"]
