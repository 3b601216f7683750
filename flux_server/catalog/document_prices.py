"""The prices of a catalog document, which are others in another account of the payment processor. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flux_server.catalog.document import CatalogDocument, PlanEntry, PriceEntry, price_id

__all__ = ["priced_by", "with_replaced_prices"]


def priced_by(document: CatalogDocument) -> frozenset[str]:
    """Return every price that a plan of the document is sold by."""
    return frozenset(price_id(price) for plan in document.plans.values() for price in plan.prices)


def with_replaced_prices(document: CatalogDocument, mapping: Mapping[str, str]) -> CatalogDocument:
    """Return the document with those prices replaced that the mapping names."""
    plans = {key: _with_prices(plan, mapping) for key, plan in document.plans.items()}
    return msgspec.structs.replace(document, plans=plans)


def _with_prices(plan: PlanEntry, mapping: Mapping[str, str]) -> PlanEntry:
    prices = (
        mapping.get(price, price)
        if isinstance(price, str)
        else PriceEntry(mapping.get(price.price, price.price), price.metric)
        for price in plan.prices
    )
    return msgspec.structs.replace(plan, prices=tuple(sorted(prices, key=price_id)))
