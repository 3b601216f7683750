from __future__ import annotations

import re

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_the_page_of_an_empty_account_says_what_to_do(sandbox: RunningSandbox) -> None:
    page = sandbox.http.get("/").text

    for path in ("/v1/customers", "/v1/billing/meters", "/v1/webhook_endpoints"):
        assert f"POST {path}" in page
    assert sandbox.http.get("/_sandbox/page.css").headers["content-type"].startswith("text/css")


def test_a_customer_is_subscribed_and_cancelled_by_buttons(sandbox: RunningSandbox, shop: Shop) -> None:
    ticked = {"customer": shop.customer, "items[0][price]": shop.monthly, "items[2][price]": shop.metered}

    subscribed = sandbox.http.post("/_sandbox/subscribe", data=ticked, follow_redirects=True)

    (subscription,) = sandbox.stripe.v1.subscriptions.list().data
    assert [item.price.id for item in subscription.items.data] == [shop.monthly, shop.metered]
    cancel = re.search(r'action="(/_sandbox/cancel/[^"]+)"', subscribed.text)
    assert cancel is not None
    after = sandbox.http.post(cancel.group(1), follow_redirects=True)
    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert "canceled" in after.text
    assert "Cancel now" not in after.text


def test_a_form_that_cannot_be_carried_out_says_why(sandbox: RunningSandbox, shop: Shop) -> None:
    answer = sandbox.http.post("/_sandbox/subscribe", data={"customer": shop.customer})

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
