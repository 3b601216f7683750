"""The quarantine: subscriptions of nobody known, and prices of no plan. Somebody paid, and gets nothing yet."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from flux_middleware.snapshot import require_organization
from flux_server.catalog.reading import list_plans
from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.errors import NotFoundError
from flux_server.organizations.organizations import read_organization
from flux_server.stripe.customers import map_customer
from flux_server.stripe.link import read_link
from flux_server.stripe.reading import describe_unmapped_prices, list_unmapped_subscriptions

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_PAGE: Final = 25


@router.get("/{environment}/stripe/quarantine")
async def show_quarantine(visit: EnvironmentsVisit) -> Response:
    """Show whose subscriptions nobody knows, and which prices are on no plan."""
    return await _page(visit, Form())


@router.post("/{environment}/stripe/quarantine")
async def say_whose(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Say which organization a customer is; what it subscribed to is provisioned at once."""
    customer = form.text("customer", required="choose a subscription")
    field = f"organization:{form.text('subscription')}"
    organization = form.text(field, required="give the id that your application knows it by")
    if form.ok:
        with form.tried():
            require_organization(organization)
            async with visit.write() as connection:
                try:
                    await read_organization(connection, visit.key, organization)
                except NotFoundError:
                    form.wrong(
                        field, f"there is no organization “{organization}”; see that it is right, or make it"
                    )
                else:
                    await map_customer(connection, visit.key, customer, organization, visit.now)
                    said = f"Customer {customer} is organization {organization} now."
                    return visit.goto(visit.address("stripe/quarantine"), say=said)
    return await _page(visit, form)


async def _page(visit: EnvironmentVisit, form: Form) -> Response:
    after, price_after = visit.query("after"), visit.query("price-after")
    async with visit.read() as connection:
        link = await read_link(connection, visit.key)
        found = await list_unmapped_subscriptions(connection, visit.key, after=after, limit=_PAGE + 1)
        prices = await describe_unmapped_prices(connection, visit.key, after=price_after, limit=_PAGE + 1)
        plans = [plan for plan in await list_plans(connection, visit.key) if plan.archived_at is None]
    return visit.page(
        "stripe_quarantine.html",
        status=200 if form.ok else form.status,
        section="stripe",
        after=after,
        form=form,
        metadata_key=link.metadata_key if link else "",
        next=found[_PAGE - 1].subscription if len(found) > _PAGE else "",
        plans=[(plan.key, plan.name or plan.key) for plan in plans],
        price_after=price_after,
        price_next=prices[_PAGE - 1].price if len(prices) > _PAGE else "",
        prices=prices[:_PAGE],
        subscriptions=found[:_PAGE],
    )
