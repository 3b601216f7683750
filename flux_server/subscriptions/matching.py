"""Which plan version each item was bought as: said when it is first matched, and kept from then on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, String, and_, cast, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.price_references import LOOKUP_KEY, PRODUCT, named_by, references
from flux_server.catalog.reading import MatchedPrice, match_prices
from flux_server.catalog.tables import plan_prices, plan_versions
from flux_server.database import one_of
from flux_server.environments.revisions import lock
from flux_server.subscriptions.tables import subscription_items, subscriptions

__all__ = ["match_items", "match_price", "rematch_items", "rename_price", "sold_as"]

_items = subscription_items.c

# How a reference begins -> the column of an item that holds what it names.
_KINDS: Final[Mapping[str, ColumnElement[Any]]] = {
    "": _items.price,
    LOOKUP_KEY: _items.lookup_key,
    PRODUCT: _items.product,
}


async def match_price(
    connection: AsyncConnection, environment: str, price: str, lookup_key: str | None, product: str | None
) -> MatchedPrice | None:
    """Return what the price sells now: by its id, else by its lookup key, else by its product."""
    named = references(price, lookup_key, product)
    return _first(named, await match_prices(connection, environment, named))


def sold_as(items: Any) -> ColumnElement[str]:
    """Return, for each row of a table with price, lookup key and product, by which reference it is sold."""
    own = plan_prices.alias("own_prices")
    here = own.c.environment == items.c.environment
    named = (items.c.price, LOOKUP_KEY + items.c.lookup_key, PRODUCT + items.c.product)
    return func.coalesce(
        *(
            select(own.c.price).where(here, own.c.price == name).correlate(items).scalar_subquery()
            for name in named
        )
    )


async def match_items(connection: AsyncConnection, environment: str, *, limit: int) -> tuple[set[str], bool]:
    """Match up to `limit` items to the plans that their prices sell now: of those that nothing matched so far, and
    those that are to be matched again.

    Returns:
        Whose records must be refreshed, and whether there are more such items.
    """
    await lock(connection, environment)
    found: dict[str, Row[Any]] = {}
    for waiting in _waiting(environment):
        if len(found) < limit:
            found |= {row.id: row for row in await connection.execute(waiting.limit(limit - len(found)))}
    named = {row.id: references(row.price, row.lookup_key, row.product) for row in found.values()}
    sold = await match_prices(connection, environment, {name for names in named.values() for name in names})
    versions: dict[str | None, list[str]] = {}
    for row in found.values():
        versions.setdefault(_bought_as(row, _first(named[row.id], sold)), []).append(row.id)
    for version, ids in versions.items():
        mine = (_items.environment == environment) & _items.id.in_(one_of(connection, ids))
        new = {"plan_version": version, "rematch": False}
        await connection.execute(update(subscription_items).where(mine).values(new))
    owners = {row.organization for row in found.values() if row.organization is not None}
    return owners, len(found) == limit


async def rematch_items(connection: AsyncConnection, environment: str, plan: str, prices: list[str]) -> None:
    """Have items that others bought by these prices, when they were another plan's, matched to this plan.

    They keep what they have until `match_items` comes to them.
    """
    version_id = plan_versions.c.plan.concat("@").concat(cast(plan_versions.c.version, String))
    others = select(version_id).where(
        plan_versions.c.environment == environment, plan_versions.c.plan != plan
    )
    for kind, column in _KINDS.items():
        names = named_by(kind, prices)
        if names:
            moved = and_(_items.environment == environment, _items.plan_version.in_(others))
            await connection.execute(
                update(subscription_items).where(moved, column.in_(names)).values(rematch=True)
            )


async def rename_price(
    connection: AsyncConnection,
    environment: str,
    price: str,
    *,
    lookup_key: str | None,
    product: str | None,
    only_unmatched: bool = False,
) -> bool:
    """Note which lookup key and product the price has now; return whether any item did not know."""
    same = and_(_items.environment == environment, _items.price == price)
    if only_unmatched:  # which an index finds
        same = and_(same, _items.plan_version.is_(None))
    differs = or_(_items.lookup_key.is_distinct_from(lookup_key), _items.product.is_distinct_from(product))
    renamed = await connection.execute(
        update(subscription_items).where(same, differs).values(lookup_key=lookup_key, product=product)
    )
    return bool(renamed.rowcount)


def _first(named: tuple[str, ...], sold: Mapping[str, MatchedPrice]) -> MatchedPrice | None:
    return next((sold[name] for name in named if name in sold), None)


def _bought_as(row: Row[Any], match: MatchedPrice | None) -> str | None:
    """Of an item that is matched again, keep the version if its plan is the same, or no plan is sold by it now."""
    present: str | None = row.plan_version
    if match is None or (present and _plan(present) == _plan(match.plan_version)):
        return present
    return match.plan_version


def _plan(version: str) -> str:
    return version.partition("@")[0]


def _waiting(environment: str) -> Iterator[Select[Any]]:
    """Yield queries for items to be matched, each of which an index answers."""
    columns = (_items.id, _items.price, _items.lookup_key, _items.product, _items.plan_version)
    query = (
        select(*columns, subscriptions.c.organization)
        .join(subscriptions, _same_subscription)
        .where(_items.environment == environment)
    )
    yield query.where(_items.rematch)
    published = (
        select(plan_versions.c.version)
        .where(
            plan_versions.c.environment == plan_prices.c.environment,
            plan_versions.c.plan == plan_prices.c.plan,
            plan_versions.c.published_at.is_not(None),
        )
        .exists()
    )
    for kind, column in _KINDS.items():
        # The column stands alone, so that the index is of use; the plans' prices are few.
        name = func.substr(plan_prices.c.price, len(kind) + 1) if kind else plan_prices.c.price
        of_kind = and_(
            plan_prices.c.environment == _items.environment,
            func.substr(plan_prices.c.price, 1, len(kind)) == kind,
            name == column,
        )
        yield query.join(plan_prices, of_kind).where(_items.plan_version.is_(None), published)


_same_subscription = and_(
    subscriptions.c.environment == _items.environment, subscriptions.c.id == _items.subscription
)
