from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_a_product_is_created_changed_and_listed(sandbox: RunningSandbox) -> None:
    products = sandbox.stripe.v1.products
    pro = products.create({"id": "pro", "name": "Pro", "metadata": {"a": "1", "b": "2"}})

    changed = products.update(pro.id, {"active": False, "metadata": {"a": "", "c": "3"}})

    assert (changed.id, changed.name, changed.metadata.to_dict()) == ("pro", "Pro", {"b": "2", "c": "3"})
    assert [one.id for one in products.list({"active": False}).data] == ["pro"]
    assert products.list({"active": True}).data == []


def test_a_product_is_deleted_unless_it_has_prices(sandbox: RunningSandbox, shop: Shop) -> None:
    free = sandbox.stripe.v1.products.create({"name": "Free"})

    assert sandbox.stripe.v1.products.delete(free.id).deleted
    with pytest.raises(stripe.InvalidRequestError, match="has one or more user-created prices"):
        sandbox.stripe.v1.products.delete(shop.product)


def test_an_id_is_taken_once(sandbox: RunningSandbox) -> None:
    sandbox.stripe.v1.products.create({"id": "pro", "name": "Pro"})

    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.products.create({"id": "pro", "name": "Pro"})

    assert refused.value.code == "resource_already_exists"


def test_the_default_price_is_one_of_the_products(sandbox: RunningSandbox, shop: Shop) -> None:
    products = sandbox.stripe.v1.products
    products.update(shop.product, {"default_price": shop.monthly})
    other = products.create({"name": "Other"})

    found = products.retrieve(shop.product, {"expand": ["default_price"]})

    assert isinstance(found.default_price, stripe.Price)
    with pytest.raises(stripe.InvalidRequestError, match="belongs to another product"):
        products.update(other.id, {"default_price": shop.monthly})
