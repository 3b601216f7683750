from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_items_are_managed_one_by_one(sandbox: RunningSandbox, shop: Shop) -> None:
    items, subscription = sandbox.stripe.v1.subscription_items, shop.subscribe()
    added = items.create({"subscription": subscription.id, "price": shop.yearly, "quantity": 2})

    items.update(added.id, {"quantity": 3})
    deleted = items.delete(subscription.items.data[0].id)

    assert deleted.deleted
    assert items.retrieve(added.id).quantity == 3
    assert [item.id for item in items.list({"subscription": subscription.id}).data] == [added.id]
    assert (
        sandbox.stripe.v1.events.list({"type": "customer.subscription.updated"})
        .data[0]
        .data.object["items"]["data"][0]["id"]
        == added.id
    )


def test_the_last_item_stays(sandbox: RunningSandbox, shop: Shop) -> None:
    (item,) = shop.subscribe().items.data

    with pytest.raises(stripe.InvalidRequestError, match="at least one active plan"):
        sandbox.stripe.v1.subscription_items.delete(item.id)


def test_a_metered_item_takes_no_quantity(sandbox: RunningSandbox, shop: Shop) -> None:
    (item,) = shop.subscribe(shop.metered).items.data

    with pytest.raises(stripe.InvalidRequestError, match="Quantity should not be specified"):
        sandbox.stripe.v1.subscription_items.update(item.id, {"quantity": 2})


def test_what_does_not_fit_in_the_subscription_is_listed(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe(*[shop.monthly] * 12)

    page = sandbox.stripe.v1.subscription_items.list({"subscription": subscription.id})

    assert (len(subscription.items.data), subscription.items.has_more) == (10, True)
    assert len(list(page.auto_paging_iter())) == 12
