from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_references_become_objects(sandbox: RunningSandbox, shop: Shop) -> None:
    shop.subscribe()

    page = sandbox.stripe.v1.subscriptions.list(
        {"expand": ["data.customer", "data.items.data.price", "data.latest_invoice"]}
    )

    (found,) = page.data
    assert isinstance(found.customer, stripe.Customer)
    assert found.items.data[0].price.id == shop.monthly
    assert isinstance(found.latest_invoice, stripe.Invoice)


def test_references_in_references_become_objects(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()

    found = sandbox.stripe.v1.subscriptions.retrieve(
        subscription.id, {"expand": ["items.data.price.product"]}
    )

    assert isinstance(found.items.data[0].price.product, stripe.Product)


@pytest.mark.parametrize("path", ["nothing", "status", "customer.name", "a.b.c.d.e"])
def test_what_is_no_reference_cannot_be_expanded(sandbox: RunningSandbox, shop: Shop, path: str) -> None:
    subscription = shop.subscribe()

    with pytest.raises(stripe.InvalidRequestError, match="expand"):
        sandbox.stripe.v1.subscriptions.retrieve(subscription.id, {"expand": [path]})
