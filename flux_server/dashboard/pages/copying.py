"""Copying the catalog into another environment, whose prices in Stripe are others: compared first, then applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.document import CatalogDocument, PlanEntry, PriceEntry, price_id
from flux_server.catalog.document_changes import concerns_subscribers
from flux_server.catalog.document_prices import with_replaced_prices
from flux_server.catalog.errors import CatalogMovedError
from flux_server.catalog.price_references import is_portable
from flux_server.catalog.values import Existing
from flux_server.dashboard.document_words import told_changes
from flux_server.dashboard.forms import Form
from flux_server.dashboard.pages.publishing import EXISTING
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.errors import NotFoundError
from flux_server.organizations.catalog_documents import (
    apply_document,
    compare_document,
    read_live_document,
)

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_MOVED = (
    "a catalog was changed after they were compared, so nothing was copied; look at what is to change now"
)


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A price of a plan here, which has another id in the other environment; `metric` is what it bills."""

    plan: str
    price: str
    metric: str | None

    @property
    def field(self) -> str:
        """Return the name of its field."""
        return f"price:{self.price}"


@router.get("/{environment}/copy-catalog")
async def show_copying(visit: EnvironmentsVisit) -> Response:
    """Ask for the prices of the other environment."""
    return await _prices_page(visit)


@router.post("/{environment}/copy-catalog")
async def compare(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Show what copying would change there; nothing is changed."""
    return await _compare_page(visit, form)


@router.post("/{environment}/copy-catalog/do")
async def copy(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Make the other catalog what this one is, if both are still those that were compared."""
    target = _target(visit)
    existing = cast("Existing", form.choice("existing", {choice for choice, _, _ in EXISTING}))
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                document, etag = await read_live_document(connection, visit.key)
                if etag != form.typed("source"):
                    raise CatalogMovedError(_MOVED)
                await apply_document(
                    connection,
                    target,
                    _copied(document, form),
                    existing=existing,
                    now=visit.now,
                    only_if={form.typed("target")},
                )
            return visit.goto(f"/{target}/plans", say=f"The catalog of {visit.key} is copied.")
    return await _compare_page(visit, form)


def _target(visit: EnvironmentVisit) -> str:
    others = [each.key for each in visit.environments if each.key != visit.key]
    wanted = visit.query("to") or ("live" if "live" in others else next(iter(others), ""))
    if wanted not in others:
        raise NotFoundError("there is no other environment of this key")
    return wanted


def _rows(document: CatalogDocument) -> list[PriceRow]:
    return [
        PriceRow(key, price_id(price), price.metric if isinstance(price, PriceEntry) else None)
        for key, plan in sorted(document.plans.items())
        for price in plan.prices
    ]


def _copied(document: CatalogDocument, form: Form) -> CatalogDocument:
    """Return the document with the prices that were typed; what is wrong with them is noted in the form."""
    mapping: dict[str, str] = {}
    for row in _rows(document):
        price = form.text(row.field, required=f"give the price there for {row.price}")
        if price and price in mapping.values():
            form.wrong(row.field, f"{price} is given twice; each price belongs to one plan")
        mapping[row.price] = price
    return with_replaced_prices(document, mapping)


async def _prices_page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    target = _target(visit)
    async with visit.read() as connection:
        here, _ = await read_live_document(connection, visit.key)
        there, _ = await read_live_document(connection, target)
    form = form or Form.of(dict(_guesses(here, there)))
    return visit.page(
        "copy_catalog.html",
        status=200 if form.ok else form.status,
        section="plans",
        document=here,
        form=form,
        rows=_rows(here),
        target=target,
    )


async def _compare_page(visit: EnvironmentVisit, form: Form) -> Response:
    """Compare with what was typed; `form` may be one that was refused already."""
    refusals, status = form.refusals, form.status
    form.refusals = []
    context: dict[str, Any] = {}
    with form.tried():
        async with visit.read() as connection:
            context = await _comparison(connection, visit, form)
    if not form.ok:
        return await _prices_page(visit, form)
    form.refusals, form.status = refusals, status
    return visit.page(
        "copy_compared.html",
        status=200 if form.ok else form.status,
        section="plans",
        form=form,
        **context,
    )


async def _comparison(connection: AsyncConnection, visit: EnvironmentVisit, form: Form) -> dict[str, Any]:
    target = _target(visit)
    document, source = await read_live_document(connection, visit.key)
    copied = _copied(document, form)
    if not form.ok:
        return {}
    difference = await compare_document(connection, target, copied)
    form.fill("source", source)
    form.fill("target", difference.etag)
    form.fill("existing", form.typed("existing") or "stay")
    return {
        "asks": any(map(concerns_subscribers, difference.changes)),
        "changes": told_changes(difference.changes),
        "existing": EXISTING,
        "rows": _rows(document),
        "target": target,
    }


def _guesses(here: CatalogDocument, there: CatalogDocument) -> Iterator[tuple[str, str]]:
    """Yield the price there of those that leave no doubt: a lookup key, or the plan's only one that bills the same."""
    for row in _rows(here):
        if is_portable(row.price):
            yield row.field, row.price
            continue
        plan = there.plans.get(row.plan)
        ours, theirs = _billing(here.plans[row.plan], row.metric), _billing(plan, row.metric)
        if len(ours) == len(theirs) == 1:
            yield row.field, theirs[0]


def _billing(plan: PlanEntry | None, metric: str | None) -> list[str]:
    prices = plan.prices if plan else ()
    return [
        price_id(price)
        for price in prices
        if (price.metric if isinstance(price, PriceEntry) else None) == metric
    ]
