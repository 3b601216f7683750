"""Prices as last read: what each is found by, and whom it concerns when that changes. Stripe is asked for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import insert, one_of
from flux_server.environments.revisions import lock
from flux_server.organizations.catalog_changes import apply_prices
from flux_server.stripe.price_shapes import StripePrice, StripeProduct
from flux_server.stripe.tables import stripe_prices
from flux_server.subscriptions.matching import rename_price

__all__ = ["save_price", "save_product", "unknown_prices"]

_columns = stripe_prices.c


async def save_price(connection: AsyncConnection, environment: str, price: StripePrice, now: float) -> None:
    """Store what the price is called now; items that no plan was found for are matched by that again.

    Items that were matched keep what they were bought as.
    """
    await lock(connection, environment)
    same = (_columns.environment == environment) & (_columns.id == price.id)
    before = (await connection.execute(select(stripe_prices).where(same))).one_or_none()
    values = {name: value for name, value in asdict(price).items() if name in _columns and name != "id"}
    if price.product_name is None and before is not None:
        values["product_name"] = before.product_name
    await connection.execute(
        insert(connection, stripe_prices)
        .values(environment=environment, id=price.id, **values)
        .on_conflict_do_update(index_elements=stripe_prices.primary_key, set_=values)
    )
    if before is not None and (before.lookup_key, before.product) == (price.lookup_key, price.product):
        return
    renamed = price.product and await rename_price(
        connection,
        environment,
        price.id,
        lookup_key=price.lookup_key,
        product=price.product,
        # Items tell what the price was called when they were read, which is not long ago if it was never read.
        only_unmatched=before is None,
    )
    if renamed:
        await apply_prices(connection, environment, now)


async def save_product(connection: AsyncConnection, environment: str, product: StripeProduct) -> None:
    """Store what the product is called."""
    theirs = (_columns.environment == environment) & (_columns.product == product.id)
    await connection.execute(update(stripe_prices).where(theirs).values(product_name=product.name))


async def unknown_prices(connection: AsyncConnection, environment: str, prices: Iterable[str]) -> set[str]:
    """Return those of the prices that were never read."""
    wanted = set(prices)
    known = select(_columns.id).where(
        _columns.environment == environment, _columns.id.in_(one_of(connection, wanted))
    )
    return wanted - set((await connection.execute(known)).scalars())
