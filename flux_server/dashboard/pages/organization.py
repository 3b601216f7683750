"""One organization: what it is entitled to and why, what it used, its overrides, its subscriptions."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.entitlements import Entitlement, explain
from flux_middleware.periods import usage_period
from flux_middleware.snapshot import Catalog, Feature, Metric, OrganizationRecord, require_organization
from flux_server.catalog.reading import list_features, read_catalog
from flux_server.dashboard.charts import Chart, chart
from flux_server.dashboard.forms import Form
from flux_server.dashboard.override_forms import EFFECTS, read_override
from flux_server.dashboard.reasons import STATUS_WORDS, Line, lines_of
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.overrides import add_override, remove_override
from flux_server.organizations.records import read_record
from flux_server.stripe.customers import map_customer
from flux_server.stripe.reading import list_customers
from flux_server.subscriptions.reading import list_subscriptions
from flux_server.usage.reading import read_buckets

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@dataclass(frozen=True, slots=True)
class Row:
    """A feature with its value for the organization, and why; of a metered limit also how much is used."""

    feature: Feature
    entitlement: Entitlement
    until: float | None
    lines: list[Line]
    used: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the organization used of a metric in its current period, from `start` until before `end`."""

    metric: Metric
    quantity: int
    start: int
    end: int
    chart: Chart


@router.get("/{environment}/organization")
async def show_organization(visit: EnvironmentsVisit) -> Response:
    """Show everything about one organization."""
    return await _page(visit)


@router.post("/{environment}/organization/override")
async def make_override(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Make an exception for the organization, in the name of whoever is signed in."""
    organization = require_organization(visit.query("id"))
    async with visit.read() as connection:
        draft = read_override(form, await list_features(connection, visit.key))
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                await add_override(
                    connection,
                    visit.key,
                    organization,
                    **asdict(draft),
                    author=visit.user.email,
                    now=visit.now,
                )
            said = f"The override of {draft.feature} is in force."
            return visit.goto(visit.address("organization", id=organization), say=said)
    return await _page(visit, override_form=form)


@router.post("/{environment}/organization/override/remove")
async def end_override(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """End an exception."""
    organization = require_organization(visit.query("id"))
    async with visit.write() as connection:
        await remove_override(connection, visit.key, organization, form.typed("override"), now=visit.now)
    return visit.goto(visit.address("organization", id=organization), say="The override is removed.")


@router.post("/{environment}/organization/customer")
async def map_by_hand(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Say that a customer of Stripe is this organization."""
    organization = require_organization(visit.query("id"))
    customer = form.text("customer", required="give the customer's id in Stripe, like cus_…")
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                await read_organization(connection, visit.key, organization)
                await map_customer(connection, visit.key, customer, organization, visit.now)
            said = f"Customer {customer} is this organization."
            return visit.goto(visit.address("organization", id=organization), say=said)
    return await _page(visit, customer_form=form)


async def _page(
    visit: EnvironmentVisit, *, override_form: Form | None = None, customer_form: Form | None = None
) -> Response:
    name = require_organization(visit.query("id"))
    forms = {
        "override_form": override_form or Form.of({"effect": "set"}),
        "customer_form": customer_form or Form(),
    }
    refused = [form.status for form in forms.values() if not form.ok]
    async with visit.read() as connection:
        organization = await read_organization(connection, visit.key, name)
        catalog = await read_catalog(connection, visit.key)
        record = await read_record(connection, visit.key, name)
        rows = await _rows(connection, visit, catalog, record)
        usage = [await _usage(connection, visit, record, metric) for metric in catalog.metrics]
        subscriptions = await list_subscriptions(connection, visit.key, name)
        customers = await list_customers(connection, visit.key, name)
    return visit.page(
        "organization.html",
        status=refused[0] if refused else 200,
        section="organizations",
        customers=customers,
        effects=[(effect, *words) for effect, words in EFFECTS.items()],
        features=[("", "choose a feature"), *((row.feature.key, row.feature.key) for row in rows)],
        organization=organization,
        overrides=record.overrides,
        rows=rows,
        status_words=STATUS_WORDS,
        subscriptions=subscriptions,
        usage=usage,
        **forms,
    )


async def _rows(
    connection: AsyncConnection, visit: EnvironmentVisit, catalog: Catalog, record: OrganizationRecord
) -> list[Row]:
    explained = explain(catalog, record, visit.now).by_feature
    return [
        Row(
            feature=catalog.feature_by_key[key],
            entitlement=entitlement,
            until=None if entitlement.until == math.inf else entitlement.until,
            lines=lines_of(entitlement),
            used=await _used(connection, visit, record.id, catalog.feature_by_key[key], entitlement),
        )
        for key, entitlement in sorted(explained.items())
    ]


async def _used(
    connection: AsyncConnection,
    visit: EnvironmentVisit,
    organization: str,
    feature: Feature,
    entitlement: Entitlement,
) -> int | None:
    if feature.metric is None or entitlement.period is None:
        return None
    start, end = entitlement.period
    buckets = await read_buckets(
        connection, visit.key, organization, feature.metric, start=start, end=int(min(end, visit.now + 1))
    )
    return sum(bucket.quantity for bucket in buckets)


async def _usage(
    connection: AsyncConnection, visit: EnvironmentVisit, record: OrganizationRecord, metric: Metric
) -> Usage:
    start, end = usage_period(record, visit.now)
    buckets = await read_buckets(connection, visit.key, record.id, metric.key, start=start, end=end)
    return Usage(metric, sum(bucket.quantity for bucket in buckets), start, end, chart(buckets, start, end))
