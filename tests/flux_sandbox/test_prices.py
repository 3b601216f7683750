from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_a_metered_price_needs_a_meter(sandbox: RunningSandbox, shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.prices.create(
            {
                "product": shop.product,
                "currency": "eur",
                "unit_amount": 1,
                "recurring": {"interval": "month", "usage_type": "metered"},
            }
        )

    assert refused.value.param == "recurring[meter]"
    assert "2025-03-31.basil" in str(refused.value)


def test_a_price_can_make_its_product_and_have_decimal_cents(sandbox: RunningSandbox) -> None:
    price = sandbox.stripe.v1.prices.create(
        {
            "product_data": {"name": "Calls"},
            "currency": "EUR",
            "unit_amount_decimal": Decimal("0.05"),
            "expand": ["product"],
        }
    )

    assert isinstance(price.product, stripe.Product)
    assert price.product.name == "Calls"
    assert (price.type, price.currency, price.unit_amount) == ("one_time", "eur", None)
    assert price.unit_amount_decimal == Decimal("0.05")


def test_a_lookup_key_is_one_prices_and_can_be_transferred(sandbox: RunningSandbox, shop: Shop) -> None:
    prices = sandbox.stripe.v1.prices
    prices.update(shop.monthly, {"lookup_key": "pro"})

    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        prices.update(shop.yearly, {"lookup_key": "pro"})
    prices.update(shop.yearly, {"lookup_key": "pro", "transfer_lookup_key": True})

    assert [price.id for price in prices.list({"lookup_keys": ["pro"]}).data] == [shop.yearly]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"type": "recurring"}, ["metered", "yearly", "monthly"]),
        ({"recurring": {"interval": "month"}}, ["metered", "monthly"]),
        ({"recurring": {"usage_type": "metered"}}, ["metered"]),
        ({"currency": "usd"}, []),
        ({"active": False}, ["old"]),
    ],
)
def test_prices_are_listed_by_what_they_are(
    sandbox: RunningSandbox, shop: Shop, params: Any, names: list[str]
) -> None:
    prices = sandbox.stripe.v1.prices
    old = prices.create({"product": shop.product, "currency": "eur", "unit_amount": 0, "active": False})
    known = {shop.monthly: "monthly", shop.yearly: "yearly", shop.metered: "metered", old.id: "old"}

    assert [known[price.id] for price in prices.list(params).data] == names


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"product": "prod_nothing"}, id="no-such-product"),
        pytest.param({"product_data": {"name": "Two"}}, id="two-products"),
        pytest.param({"unit_amount_decimal": "1"}, id="two-amounts"),
        pytest.param({"recurring": {"interval": "month", "meter": "mtr_1"}}, id="meter-of-licensed"),
        pytest.param(
            {"recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_1"}}, id="no-meter"
        ),
        pytest.param({"currency": "<b>"}, id="no-currency"),
        pytest.param({"recurring": {"interval": "year", "interval_count": 4}}, id="too-long-a-period"),
        pytest.param({"tiers": [{"up_to": "inf"}]}, id="not-simulated"),
    ],
)
def test_impossible_prices_are_refused(sandbox: RunningSandbox, shop: Shop, change: Any) -> None:
    params: Any = {"product": shop.product, "currency": "eur", "unit_amount": 1, **change}

    with pytest.raises(stripe.InvalidRequestError):
        sandbox.stripe.v1.prices.create(params)

    assert len(sandbox.stripe.v1.prices.list().data) == 3
