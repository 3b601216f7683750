from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_payments import DAY, pays


def begin(sandbox: RunningSandbox, shop: Shop, **more: Any) -> stripe.checkout.Session:
    params: Any = {
        "mode": "subscription",
        "client_reference_id": "acme",
        "line_items": [{"price": shop.monthly, "quantity": 2}],
        "success_url": "https://shop.example/done?session={CHECKOUT_SESSION_ID}",
    }
    params |= more
    return sandbox.stripe.v1.checkout.sessions.create(params)


def test_a_session_becomes_a_customer_with_a_subscription(sandbox: RunningSandbox, shop: Shop) -> None:
    session = begin(sandbox, shop, customer_email="new@acme.example", metadata={"a": "b"})

    sandbox.stage(f"checkout/{session.id}/complete", {})

    done = sandbox.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "customer"]})
    assert (session.status, done.status, done.payment_status) == ("open", "complete", "paid")
    assert (done.client_reference_id, done.amount_total) == ("acme", 9800)
    assert isinstance(done.subscription, stripe.Subscription)
    assert (done.subscription.status, done.subscription.items.data[0].quantity) == ("active", 2)
    assert isinstance(done.customer, stripe.Customer)
    assert done.customer.email == "new@acme.example"
    (event,) = sandbox.stripe.v1.events.list({"type": "checkout.session.completed"}).data
    assert event.data.object["subscription"] == done.subscription.id


def test_the_page_completes_a_session_and_leads_back(sandbox: RunningSandbox, shop: Shop) -> None:
    session = begin(sandbox, shop, customer=shop.customer, cancel_url="https://shop.example/plans")
    assert session.url is not None

    page = sandbox.http.get(session.url)
    paid = sandbox.http.post(session.url)
    again = sandbox.http.post(session.url)

    assert "2 x Pro: 49.00 EUR each month" in page.text
    assert "form-action 'self' https://shop.example" in page.headers["content-security-policy"]
    assert (paid.status_code, paid.headers["location"]) == (
        303,
        f"https://shop.example/done?session={session.id}",
    )
    assert (again.status_code, "This session is complete." in again.text) == (400, True)
    assert sandbox.http.get("/_sandbox/checkout/cs_nothing").status_code == 404
    assert sandbox.stripe.v1.subscriptions.list({"customer": shop.customer}).data[0].status == "active"


def test_a_card_that_is_declined_leaves_the_session_open(sandbox: RunningSandbox, shop: Shop) -> None:
    session = begin(sandbox, shop, customer=shop.customer)
    pays(sandbox, shop.customer, "fail")

    refused = sandbox.http.post(f"/_sandbox/checkout/{session.id}")

    assert (refused.status_code, "declined" in refused.text) == (402, True)
    assert sandbox.stripe.v1.checkout.sessions.retrieve(session.id).status == "open"


def test_a_trial_needs_no_payment_yet(sandbox: RunningSandbox, shop: Shop) -> None:
    pays(sandbox, shop.customer, "missing")
    session = begin(sandbox, shop, customer=shop.customer, subscription_data={"trial_period_days": 7})

    done = sandbox.stage(f"checkout/{session.id}/complete", {})
    sandbox.advance(8 * DAY)

    assert done["payment_status"] == "no_payment_required"
    subscription = sandbox.stripe.v1.subscriptions.retrieve(done["subscription"])
    assert subscription.status == "active"  # the session asked for a card, which pays now


def test_a_session_expires_by_itself_or_when_asked(sandbox: RunningSandbox, shop: Shop) -> None:
    sessions = sandbox.stripe.v1.checkout.sessions
    left, ended = begin(sandbox, shop), begin(sandbox, shop)

    sessions.expire(ended.id)
    sandbox.advance(DAY)

    assert {one.id for one in sessions.list({"status": "expired"}).data} == {left.id, ended.id}
    assert len(sandbox.stripe.v1.events.list({"type": "checkout.session.expired"}).data) == 2


def test_what_is_sold_is_shown_when_asked_for(sandbox: RunningSandbox, shop: Shop) -> None:
    session = begin(sandbox, shop)

    found = sandbox.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items"]})

    assert "line_items" not in session.to_dict()
    assert found.line_items is not None
    assert [line.quantity for line in found.line_items.data] == [2]
    listed = sandbox.stripe.v1.checkout.sessions.line_items.list(session.id)
    assert [line.price and line.price.id for line in listed.data] == [shop.monthly]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        pytest.param({"mode": "payment"}, "mode", id="mode"),
        pytest.param({"line_items": [{"price": "price_none"}]}, "line_items[0][price]", id="price"),
        pytest.param({"customer": "cus_none"}, "customer", id="customer"),
        pytest.param({"expires_at": 1}, "expires_at", id="expiry"),
    ],
)
def test_a_session_that_cannot_be_is_refused(
    sandbox: RunningSandbox, shop: Shop, change: Any, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        begin(sandbox, shop, **change)

    assert refused.value.param == param
