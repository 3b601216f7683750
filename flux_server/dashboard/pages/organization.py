"""One organization: what it is or was entitled to and why, what it used, its overrides, its subscriptions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.periods import usage_period
from flux_middleware.snapshot import Metric, OrganizationRecord, require_organization
from flux_server.dashboard.charts import Chart, chart
from flux_server.dashboard.forms import Form
from flux_server.dashboard.override_forms import EFFECTS, ENFORCEMENTS, sorted_overrides
from flux_server.dashboard.reasons import STATUS_WORDS
from flux_server.dashboard.standings import Row, rows_of
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.moments import parse_past_moment
from flux_server.organizations.organizations import ensure_organization, read_organization
from flux_server.organizations.past import read_standing_at, read_standing_now
from flux_server.stripe.customers import map_customer
from flux_server.stripe.reading import list_customers
from flux_server.subscriptions.reading import list_subscriptions
from flux_server.usage.reading import read_buckets

__all__ = ["organization_page", "router"]

router = APIRouter(default_response_class=Response)


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
    """Show everything about one organization; with `at`, what it was entitled to at that moment."""
    form = Form.of({"at": visit.query("at")})
    if form.text("at", most=64):
        with form.tried():
            return await _page_at(visit, form, parse_past_moment(form.typed("at"), visit.now))
    return await organization_page(visit, at_form=form)


@router.post("/{environment}/organization/name")
async def rename(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Give the organization another name."""
    organization = require_organization(visit.query("id"))
    name = form.text("name", required="give it a name")
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                await read_organization(connection, visit.key, organization)
                await ensure_organization(connection, visit.key, organization, name=name, now=visit.now)
            return visit.goto(visit.address("organization", id=organization), say="The name is changed.")
    return await organization_page(visit, name_form=form)


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
    return await organization_page(visit, customer_form=form)


async def organization_page(visit: EnvironmentVisit, **given: Form) -> Response:
    """Answer with the organization as it stands; `given` are forms that were sent, with what is wrong with them."""
    name = require_organization(visit.query("id"))
    refused = [form.status for form in given.values() if not form.ok]
    async with visit.read() as connection:
        organization = await read_organization(connection, visit.key, name)
        standing = await read_standing_now(connection, visit.key, name, visit.now)
        rows = [await _with_usage(connection, visit, name, row) for row in rows_of(standing)]
        usage = [
            await _usage(connection, visit, standing.record, metric) for metric in standing.catalog.metrics
        ]
        subscriptions = await list_subscriptions(connection, visit.key, name)
        customers = await list_customers(connection, visit.key, name)
    forms = {
        "at_form": Form(),
        "customer_form": Form(),
        "name_form": Form.of({"name": organization.name}),
        "override_form": Form.of({"effect": "set"}),
    }
    return visit.page(
        "organization.html",
        status=refused[0] if refused else 200,
        section="organizations",
        customers=customers,
        effects=[(effect, *words) for effect, words in EFFECTS.items()],
        enforcements=ENFORCEMENTS.items(),
        features=[("", "choose a feature"), *((row.feature.key, row.feature.key) for row in rows)],
        organization=organization,
        overrides=sorted_overrides(standing.record.overrides, visit.now),
        rows=rows,
        status_words=STATUS_WORDS,
        subscriptions=subscriptions,
        usage=usage,
        wrong=bool(refused),
        **(forms | given),
    )


async def _page_at(visit: EnvironmentVisit, form: Form, moment: int) -> Response:
    name = require_organization(visit.query("id"))
    async with visit.read() as connection:
        organization = await read_organization(connection, visit.key, name)
        standing = await read_standing_at(connection, visit.key, name, moment)
    return visit.page(
        "organization_at.html",
        section="organizations",
        at_form=form,
        moment=moment,
        organization=organization,
        rows=rows_of(standing),
    )


async def _with_usage(
    connection: AsyncConnection, visit: EnvironmentVisit, organization: str, row: Row
) -> Row:
    if row.feature.metric is None or row.entitlement.period is None:
        return row
    start, end = row.entitlement.period
    buckets = await read_buckets(
        connection,
        visit.key,
        organization,
        row.feature.metric,
        start=start,
        end=int(min(end, visit.now + 1)),
    )
    return replace(row, used=sum(bucket.quantity for bucket in buckets))


async def _usage(
    connection: AsyncConnection, visit: EnvironmentVisit, record: OrganizationRecord, metric: Metric
) -> Usage:
    start, end = usage_period(record, visit.now)
    buckets = await read_buckets(connection, visit.key, record.id, metric.key, start=start, end=end)
    return Usage(metric, sum(bucket.quantity for bucket in buckets), start, end, chart(buckets, start, end))
