from __future__ import annotations

from typing import Any

import pytest

from flux_server.stripe.price_shapes import read_price, read_product
from flux_server.stripe.reading import describe_unmapped_prices
from tests.flux_server.stripe.conftest import World

PRICE = {
    "id": "price_9",
    "object": "price",
    "active": True,
    "currency": "eur",
    "unit_amount": 1200,
    "lookup_key": None,
    "product": {"id": "prod_9", "object": "product", "name": "Pro"},
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed", "meter": None},
}
PATH = "/v1/prices/price_9"


async def subscribe(world: World, number: int = 1) -> None:
    """Subscribe org-N to price_9, as a subscription writes its price."""
    world.stripe.put_customer(f"cus_{number}", metadata={"organization_id": f"org-{number}"})
    item = {"id": f"si_{number}", "price": PRICE | {"product": "prod_9"}, "quantity": 1}
    items = {"object": "list", "data": [item], "has_more": False}
    world.stripe.put_subscription(f"sub_{number}", customer=f"cus_{number}", items=items)
    await world.mark(("subscription", f"sub_{number}"))
    await world.sync()


async def test_a_price_is_read_once_and_says_what_it_stands_for(world: World) -> None:
    world.stripe.put(PATH, PRICE)

    await subscribe(world, 1)
    await subscribe(world, 2)

    async with world.database.read() as connection:
        (found,) = await describe_unmapped_prices(connection, "test", limit=9)
    assert (found.description, found.product_name) == ("12.00 EUR / month", "Pro")
    assert "product:prod_9" in found.advice
    assert world.stripe.calls[PATH] == 1


async def test_a_price_that_stripe_does_not_know_is_not_asked_for_again(world: World) -> None:
    await subscribe(world, 1)
    await subscribe(world, 2)

    assert world.stripe.calls[PATH] == 1


async def test_a_new_lookup_key_provisions_without_a_call_for_each_organization(unlinked: World) -> None:
    world = unlinked
    await world.link()
    await world.sell("lookup_key:pro")
    world.stripe.put(PATH, PRICE)
    await subscribe(world, 1)
    await subscribe(world, 2)
    world.stripe.put(PATH, PRICE | {"lookup_key": "pro"})
    called = world.stripe.calls.total()

    await world.mark(("price", "price_9"))
    await world.sync()

    assert await world.is_entitled("org-1")
    assert await world.is_entitled("org-2")
    assert world.stripe.calls.total() == called + 1


async def test_a_product_that_is_renamed_is_shown_by_its_new_name(world: World) -> None:
    world.stripe.put(PATH, PRICE)
    await subscribe(world)
    world.stripe.put("/v1/products/prod_9", {"id": "prod_9", "name": "Professional"})

    await world.mark(("product", "prod_9"))
    await world.sync()

    async with world.database.read() as connection:
        (found,) = await describe_unmapped_prices(connection, "test", limit=9)
    assert found.product_name == "Professional"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "12.00 EUR / month", id="monthly"),
        pytest.param({"currency": "jpy"}, "1200 JPY / month", id="no-hundredths"),
        pytest.param({"currency": "kwd"}, "1.200 KWD / month", id="thousandths"),
        pytest.param({"unit_amount": None, "unit_amount_decimal": "0.05"}, "0.0005 EUR / month", id="tiny"),
        pytest.param({"recurring": None}, "12.00 EUR", id="once"),
        pytest.param(
            {"recurring": {"interval": "month", "interval_count": 3}}, "12.00 EUR / 3 months", id="3"
        ),
        pytest.param(
            {"recurring": {"interval": "month", "usage_type": "metered"}},
            "12.00 EUR per unit used / month",
            id="metered",
        ),
        pytest.param(
            {"unit_amount": None, "billing_scheme": "tiered"}, "tiered price in EUR / month", id="tiers"
        ),
        pytest.param({"nickname": "Early bird"}, "Early bird", id="nickname"),
    ],
)
def test_a_price_is_put_into_words(fields: dict[str, Any], words: str) -> None:
    assert read_price(PRICE | fields).description == words


def test_a_deleted_product_is_not_sold_any_more() -> None:
    product = read_product({"id": "prod_1", "object": "product", "deleted": True})

    assert (product.name, product.active) == ("prod_1", False)
