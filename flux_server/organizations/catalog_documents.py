"""Catalog documents and the organizations that they are about: reading, comparing and applying one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_changes import Difference
from flux_server.catalog.document_checking import require_applicable
from flux_server.catalog.document_diff import differences
from flux_server.catalog.document_state import document_of, outcome, state_etag
from flux_server.catalog.errors import CatalogMovedError
from flux_server.catalog.state import CatalogState, read_state, replace_state
from flux_server.catalog.values import Existing
from flux_server.environments.revisions import lock
from flux_server.organizations.catalog_changes import apply_prices
from flux_server.subscriptions.matching import rematch_items
from flux_server.subscriptions.subscriptions import count_plan_subscribers

__all__ = ["apply_document", "compare_document", "read_live_document"]


async def read_live_document(connection: AsyncConnection, environment: str) -> tuple[CatalogDocument, str]:
    """Return what is live as a document, and its entity tag."""
    state = await read_state(connection, environment)
    return await asyncio.to_thread(lambda: (document_of(state), state_etag(state)))


async def compare_document(
    connection: AsyncConnection, environment: str, document: CatalogDocument
) -> Difference:
    """Return what applying the document would change.

    Raises:
        InvalidDocumentError: it cannot be applied.
    """
    return await _compare(connection, environment, document, await read_state(connection, environment))


async def apply_document(
    connection: AsyncConnection,
    environment: str,
    document: CatalogDocument,
    *,
    existing: Existing,
    now: float,
    only_if: Collection[str] | None = None,
) -> Difference:
    """Make the document what is live: all of it, or nothing. Return what changed, and the new catalog's tag.

    Where it publishes a version, or sells a price of one plan as another, `existing` subscribers `stay` on what they
    have or `migrate`. With `only_if`, the catalog
    must still have one of these entity tags.

    Raises:
        InvalidDocumentError: it cannot be applied.
        CatalogMovedError: the catalog has another entity tag.
    """
    await lock(connection, environment)
    before = await read_state(connection, environment)
    difference = await _compare(connection, environment, document, before)
    if only_if is not None and difference.etag not in only_if:
        raise CatalogMovedError(
            "the catalog changed since it was compared with the document; compare again, then apply"
        )
    if not difference.changes:
        return difference
    after = await asyncio.to_thread(outcome, before, document, existing=existing, now=now)
    await replace_state(connection, environment, before, after, now)
    if existing == "migrate":
        for plan, prices in _new_prices(before, after).items():
            await rematch_items(connection, environment, plan, prices)
    await apply_prices(connection, environment, now)
    return Difference(state_etag(after), difference.changes)


async def _compare(
    connection: AsyncConnection, environment: str, document: CatalogDocument, state: CatalogState
) -> Difference:
    difference = await asyncio.to_thread(_differences, state, document)
    plans = {change.key for change in difference.changes if change.of == "plan"} & state.plans.keys()
    subscribers = await count_plan_subscribers(connection, environment, plans) if plans else {}
    return Difference(
        difference.etag,
        tuple(
            msgspec.structs.replace(change, organizations=subscribers[change.key])
            if change.of == "plan" and change.key in subscribers
            else change
            for change in difference.changes
        ),
    )


def _new_prices(before: CatalogState, after: CatalogState) -> dict[str, list[str]]:
    """Return by which prices each plan is sold that it was not sold by before."""
    new = {}
    for key, plan in after.plans.items():
        had = {price.price for price in before.plans[key].prices} if key in before.plans else set()
        new[key] = [price.price for price in plan.prices if price.price not in had]
    return {key: prices for key, prices in new.items() if prices}


def _differences(state: CatalogState, document: CatalogDocument) -> Difference:
    require_applicable(document, state)
    return Difference(state_etag(state), differences(state, document))
