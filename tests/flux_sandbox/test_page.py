from __future__ import annotations

import re
from typing import Any

import pytest

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_the_page_of_an_empty_account_says_what_to_do(sandbox: RunningSandbox) -> None:
    page = sandbox.http.get("/").text

    for path in ("/v1/customers", "/v1/billing/meters", "/v1/webhook_endpoints"):
        assert f"POST {path}" in page
    assert sandbox.http.get("/_sandbox/page.css").headers["content-type"].startswith("text/css")


def test_a_customer_is_subscribed_and_cancelled_by_buttons(sandbox: RunningSandbox, shop: Shop) -> None:
    ticked = {"customer": shop.customer, "items[0][price]": shop.monthly, "items[2][price]": shop.metered}

    subscribed = sandbox.http.post("/_sandbox/page/subscribe", data=ticked, follow_redirects=True)

    (subscription,) = sandbox.stripe.v1.subscriptions.list().data
    assert [item.price.id for item in subscription.items.data] == [shop.monthly, shop.metered]
    cancel = re.search(r'action="(/_sandbox/page/cancel/[^"]+)"', subscribed.text)
    assert cancel is not None
    after = sandbox.http.post(cancel.group(1), follow_redirects=True)
    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert "canceled" in after.text
    assert "Cancel now" not in after.text


def test_a_form_that_cannot_be_carried_out_says_why(sandbox: RunningSandbox, shop: Shop) -> None:
    answer = sandbox.http.post("/_sandbox/page/subscribe", data={"customer": shop.customer})

    assert answer.status_code == 400
    assert "Missing required param: items." in answer.text


def test_names_are_escaped_and_totals_shown(sandbox: RunningSandbox, shop: Shop) -> None:
    sandbox.stripe.v1.customers.update(shop.customer, {"name": "<script>"})
    shop.use("41", "a")
    shop.use("1", "b")

    page = sandbox.http.get("/").text

    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<td>42</td>" in page


class Visitor:
    """Presses the buttons of the page, as they stand there."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._http = sandbox.http

    def press(self, label: str, **typed: str) -> str:
        """Send the form whose button has this label, with what was typed, and return the page after that."""
        page = self._http.get("/").text
        form = next(one for one in re.findall(r"<form.*?</form>", page) if f">{label}</button>" in one)
        fields: dict[str, Any] = dict(re.findall(r'<input type="\w+" name="([^"]+)" value="([^"]*)"', form))
        for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', form):
            fields[name] = re.search(r'value="([^"]*)" selected', options)[1]  # type: ignore[index]  # one always is
        action = re.search(r'action="([^"]+)"', form)[1]  # type: ignore[index]  # each form has one
        answer = self._http.post(action, data=fields | typed, follow_redirects=True)
        return answer.text


@pytest.fixture
def visitor(sandbox: RunningSandbox) -> Visitor:
    return Visitor(sandbox)


def test_an_item_is_changed_to_another_price_and_quantity(
    sandbox: RunningSandbox, shop: Shop, visitor: Visitor
) -> None:
    subscription = shop.subscribe()

    page = visitor.press("Change", **{"items[0][price]": shop.yearly, "items[0][quantity]": "3"})

    (item,) = sandbox.stripe.v1.subscriptions.retrieve(subscription.id).items.data
    assert (item.price.id, item.quantity) == (shop.yearly, 3)
    assert "3 x Pro: 49.00 EUR each year" in page


def test_a_change_that_changes_nothing_changes_nothing(
    sandbox: RunningSandbox, shop: Shop, visitor: Visitor
) -> None:
    subscription = shop.subscribe()

    visitor.press("Change")

    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).to_dict() == subscription.to_dict()


def test_a_payment_is_made_to_fail_and_then_paid(
    sandbox: RunningSandbox, shop: Shop, visitor: Visitor
) -> None:
    shop.subscribe()

    visitor.press("Set", outcome="fail")
    visitor.press("A month later")
    late = visitor.press("A day later")
    paid = visitor.press("Pay")

    assert "past_due" in late
    assert "49.00 EUR due, tried again" in late
    assert 'class="active"' in paid
    assert "EUR due" not in paid


def test_an_end_is_scheduled_undone_and_comes(sandbox: RunningSandbox, shop: Shop, visitor: Visitor) -> None:
    shop.subscribe()

    scheduled = visitor.press("Cancel at period end")
    undone = visitor.press("Keep")
    visitor.press("Cancel at period end")
    ended = visitor.press("A month later")

    assert ("cancels" in scheduled, "cancels" in undone) == (True, False)
    assert 'class="canceled"' in ended


def test_a_subscription_is_paused_and_resumed(sandbox: RunningSandbox, shop: Shop, visitor: Visitor) -> None:
    shop.subscribe()

    paused = visitor.press("Pause")
    resumed = visitor.press("Resume")

    assert ('class="paused"' in paused, 'class="active"' in resumed) == (True, True)


def test_each_control_says_what_it_is_about(sandbox: RunningSandbox, shop: Shop) -> None:
    shop.subscribe()

    page = sandbox.http.get("/").text

    unnamed = [
        one
        for one in re.findall(r"<(?:select|input)[^>]*>", page)
        if "aria-label" not in one and 'type="hidden"' not in one and 'type="checkbox"' not in one
    ]
    assert unnamed == []
    assert page.count('aria-label="Cancel now sub_') == 1
