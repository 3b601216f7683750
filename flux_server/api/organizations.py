"""Organizations over HTTP: finding, making and forgetting them, what each is entitled to, and what it uses."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import UsageStanding
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, OrganizationId, requires_scope
from flux_server.api.entitlements import At, EntitlementAnswer, entitlement_answers, read_standing_as_of
from flux_server.api.fields import Text
from flux_server.api.pages import Cursor, Limit, cut, read_cursor
from flux_server.api.preconditions import Conditional, Edit
from flux_server.api.problems import problem_responses
from flux_server.catalog.reading import read_metric
from flux_server.organizations.forgetting import forget_organization
from flux_server.organizations.organizations import (
    ensure_organization,
    list_organizations,
    read_organization,
)
from flux_server.stripe.owners import find_owners, forget_owner
from flux_server.stripe.reading import list_customers
from flux_server.usage.reading import read_standing, standings_of

__all__ = ["MOVING", "organization_answer", "router"]

MOVING = frozenset({"as_of", "usage"})
"""Members of an organization's answer that change without anybody's edit."""

router = APIRouter(tags=["organizations"], responses=problem_responses(401, 403))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


class OrganizationSummary(BaseModel):
    """An organization in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    created_at: int


class OrganizationsAnswer(BaseModel):
    """A page of organizations; `next_cursor` asks for the one after it."""

    organizations: list[OrganizationSummary]
    next_cursor: str | None


class UsageAnswer(BaseModel):
    """What was used of a metric in the current period."""

    metric: str
    period_start: int
    quantity: int


class OrganizationAnswer(OrganizationSummary):
    """An organization with everything it is entitled to as of a moment, why, and what it uses now.

    Features that nothing speaks of are left out: it is not entitled to them. `usage` is that of the current
    period, and empty in an answer as of another moment.
    """

    as_of: int
    entitlements: list[EntitlementAnswer]
    until: int | None
    usage: list[UsageAnswer]


class OrganizationBody(BaseModel):
    """What an application may say about an organization."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field("", max_length=255)


class CustomerAnswer(BaseModel):
    """A customer of Stripe that is the organization, and who says so: explicit, metadata or checkout."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source: str
    deleted: bool


class CustomersAnswer(BaseModel):
    """The customers of Stripe that are the organization."""

    customers: list[CustomerAnswer]


@router.get("/v1/organizations", responses=problem_responses(422))
async def list_some_organizations(
    database: DatabaseOf,
    caller: Reader,
    query: Annotated[
        Text,
        Query(
            max_length=255,
            description="Part of an id or a name, or a Stripe customer's or subscription's id.",
        ),
    ] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> OrganizationsAnswer:
    """List organizations in the order of their ids."""
    async with database.read() as connection:
        found = await list_organizations(
            connection,
            caller.environment,
            query=query,
            also=await find_owners(connection, caller.environment, query) if query else (),
            after=read_cursor(cursor),
            limit=limit + 1,
        )
    page, next_cursor = cut(found, limit, lambda organization: organization.id)
    return OrganizationsAnswer(
        organizations=[OrganizationSummary.model_validate(organization) for organization in page],
        next_cursor=next_cursor,
    )


@router.get("/v1/organizations/{organization}", responses=problem_responses(404, 422))
async def read_one_organization(
    organization: OrganizationId,
    database: DatabaseOf,
    clock: Clock,
    caller: Reader,
    conditions: Conditional,
    at: At = None,
) -> OrganizationAnswer:
    """Return an organization, what it is entitled to now or was at a past moment, and why."""
    async with database.read() as connection:
        answer = await organization_answer(connection, caller.environment, organization, clock(), at)
        return conditions.shown(answer, moving=MOVING)


@router.put("/v1/organizations/{organization}", responses=problem_responses(422))
async def put_organization(
    organization: OrganizationId,
    body: OrganizationBody,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
    edit: Edit,
) -> OrganizationAnswer:
    """Make the organization if it is new, and name it."""
    async with database.write(caller.actor) as connection:
        read = partial(organization_answer, connection, caller.environment, organization, clock())
        await edit.hold(connection, caller.environment, read, makes=True, moving=MOVING)
        await ensure_organization(connection, caller.environment, organization, name=body.name, now=clock())
        return edit.shown(await read(), moving=MOVING)


@router.get("/v1/organizations/{organization}/usage", responses=problem_responses(404))
async def read_usage(
    organization: OrganizationId,
    database: DatabaseOf,
    clock: Clock,
    caller: Reader,
    metric: Annotated[Text, Query(description="The metric's key.")],
) -> UsageAnswer:
    """Return what the organization used of a metric in its current period."""
    async with database.read() as connection:
        await read_metric(connection, caller.environment, metric)
        return _usage(await read_standing(connection, caller.environment, organization, metric, clock()))


@router.get("/v1/organizations/{organization}/stripe-customers", responses=problem_responses(404))
async def list_stripe_customers(
    organization: OrganizationId, database: DatabaseOf, caller: Reader
) -> CustomersAnswer:
    """List the customers of Stripe that are the organization."""
    async with database.read() as connection:
        await read_organization(connection, caller.environment, organization)
        found = await list_customers(connection, caller.environment, organization)
    return CustomersAnswer(customers=[CustomerAnswer.model_validate(customer) for customer in found])


@router.delete("/v1/organizations/{organization}", status_code=204, responses=problem_responses(404, 409))
async def delete_organization(
    organization: OrganizationId, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> None:
    """Forget an organization that subscribes to nothing any more: its name, overrides, customers and history."""
    async with database.write(caller.actor) as connection:
        read = partial(organization_answer, connection, caller.environment, organization, clock())
        await edit.hold(connection, caller.environment, read, moving=MOVING)
        await forget_organization(connection, caller.environment, organization, clock())
        await forget_owner(connection, caller.environment, organization)


async def organization_answer(
    connection: AsyncConnection, environment: str, organization: str, now: float, at: int | None = None
) -> OrganizationAnswer:
    """Return what is answered of the organization, as of `at`.

    Raises:
        NotFoundError: there is no such organization.
    """
    found = await read_organization(connection, environment, organization)
    standing = await read_standing_as_of(connection, environment, organization, at, now)
    entitlements, until = entitlement_answers(standing)
    usage = () if at is not None else await standings_of(connection, environment, [organization], now)
    return OrganizationAnswer(
        **OrganizationSummary.model_validate(found).model_dump(),
        as_of=int(standing.moment),
        entitlements=entitlements,
        until=until,
        usage=[_usage(each) for each in usage],
    )


def _usage(standing: UsageStanding) -> UsageAnswer:
    return UsageAnswer(metric=standing.metric, period_start=standing.period_start, quantity=standing.quantity)
