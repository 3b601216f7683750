"""Organizations over HTTP: what each is entitled to and why, its overrides, its usage."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.entitlements import Entitlement, Entitlements, Reason, resolve
from flux_middleware.snapshot import UsageStanding, require_organization, wire_value
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, OrganizationId, requires_scope
from flux_server.api.fields import Moment, Text, Value
from flux_server.api.problems import problem_responses
from flux_server.catalog.reading import read_catalog, read_metric
from flux_server.errors import InvalidRequestError
from flux_server.organizations.organizations import (
    Organization,
    ensure_organization,
    list_organizations,
    read_organization,
)
from flux_server.organizations.overrides import add_override, remove_override
from flux_server.organizations.records import read_record
from flux_server.usage.reading import read_standing, standings_of

__all__ = ["router"]

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


class ReasonAnswer(BaseModel):
    """One link of the chain that led to a value."""

    kind: str
    value: Value
    until: int | None
    plan_version: str
    subscription: str
    status: str
    item: str
    price: str
    override: str
    effect: str
    author: str
    note: str


class EntitlementAnswer(BaseModel):
    """A feature's value, until when it surely stands, and why."""

    feature: str
    value: Value
    until: int | None
    reasons: list[ReasonAnswer]


class UsageAnswer(BaseModel):
    """What was used of a metric in the current period."""

    metric: str
    period_start: int
    quantity: int


class OrganizationAnswer(OrganizationSummary):
    """An organization with everything it is entitled to now, why, and what it used."""

    entitlements: list[EntitlementAnswer]
    until: int | None
    usage: list[UsageAnswer]


class OrganizationBody(BaseModel):
    """What an application may say about an organization."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field("", max_length=255)


class OverrideBody(BaseModel):
    """An exception for one organization."""

    model_config = ConfigDict(extra="forbid")

    feature: Text
    effect: Literal["set", "add", "deny"]
    value: Value | None = None
    until: Moment | None = Field(None, description="Seconds since 1970; without it, until removed.")
    author: Text = Field("", max_length=255)
    reason: Text = Field("", max_length=2_000)


class OverrideAnswer(BaseModel):
    """The exception that was made."""

    id: str


@router.get("/v1/organizations", responses=problem_responses(422))
async def list_some_organizations(
    database: DatabaseOf,
    caller: Reader,
    query: Annotated[Text, Query(max_length=255, description="Part of an id or a name.")] = "",
    cursor: Annotated[str, Query(max_length=1_000)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> OrganizationsAnswer:
    """List organizations in the order of their ids."""
    async with database.read() as connection:
        found = await list_organizations(
            connection, caller.environment, query=query, after=_after(cursor), limit=limit + 1
        )
    page = found[:limit]
    return OrganizationsAnswer(
        organizations=[OrganizationSummary.model_validate(organization) for organization in page],
        next_cursor=_cursor(page[-1].id) if len(found) > limit else None,
    )


@router.get("/v1/organizations/{organization}", responses=problem_responses(404))
async def read_one_organization(
    organization: OrganizationId, database: DatabaseOf, clock: Clock, caller: Reader
) -> OrganizationAnswer:
    """Return an organization, what it is entitled to now, and why."""
    async with database.read() as connection:
        return await _answer(connection, caller.environment, organization, clock())


@router.put("/v1/organizations/{organization}", responses=problem_responses(422))
async def put_organization(
    organization: OrganizationId,
    body: OrganizationBody,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
) -> OrganizationAnswer:
    """Make the organization if it is new, and name it."""
    async with database.write(caller.actor) as connection:
        await ensure_organization(connection, caller.environment, organization, name=body.name, now=clock())
        return await _answer(connection, caller.environment, organization, clock())


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


@router.post(
    "/v1/organizations/{organization}/overrides", status_code=201, responses=problem_responses(404, 422)
)
async def create_override(
    organization: OrganizationId,
    body: OverrideBody,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
) -> OverrideAnswer:
    """Make an exception for the organization."""
    async with database.write(caller.actor) as connection:
        override = await add_override(
            connection,
            caller.environment,
            organization,
            feature=body.feature,
            effect=body.effect,
            value=body.value,
            until=body.until,
            author=body.author,
            reason=body.reason,
            now=clock(),
        )
    return OverrideAnswer(id=override.id)


@router.delete(
    "/v1/organizations/{organization}/overrides/{override}",
    status_code=204,
    responses=problem_responses(404),
)
async def delete_override(
    organization: OrganizationId, override: Text, database: DatabaseOf, clock: Clock, caller: Admin
) -> None:
    """End an exception."""
    async with database.write(caller.actor) as connection:
        await remove_override(connection, caller.environment, organization, override, now=clock())


async def _answer(
    connection: AsyncConnection, environment: str, organization: str, now: float
) -> OrganizationAnswer:
    found = await read_organization(connection, environment, organization)
    catalog = await read_catalog(connection, environment)
    record = await read_record(connection, environment, organization)
    usage = await standings_of(connection, environment, [organization], now)
    return _organization_answer(found, resolve(catalog, record, now), usage)


def _organization_answer(
    organization: Organization, entitlements: Entitlements, usage: tuple[UsageStanding, ...]
) -> OrganizationAnswer:
    by_feature = entitlements.by_feature
    return OrganizationAnswer(
        id=organization.id,
        name=organization.name,
        created_at=organization.created_at,
        entitlements=[_entitlement(by_feature[feature]) for feature in sorted(by_feature)],
        until=_moment(entitlements.until),
        usage=[_usage(standing) for standing in usage],
    )


def _entitlement(entitlement: Entitlement) -> EntitlementAnswer:
    return EntitlementAnswer(
        feature=entitlement.feature,
        value=wire_value(entitlement.value),
        until=_moment(entitlement.until),
        reasons=[_reason(reason) for reason in entitlement.reasons],
    )


def _reason(reason: Reason) -> ReasonAnswer:
    return ReasonAnswer(
        kind=reason.kind,
        value=wire_value(reason.value),
        until=_moment(reason.until),
        plan_version=reason.plan_version,
        subscription=reason.subscription,
        status=reason.status,
        item=reason.item,
        price=reason.price,
        override=reason.override,
        effect=reason.effect,
        author=reason.author,
        note=reason.note,
    )


def _usage(standing: UsageStanding) -> UsageAnswer:
    return UsageAnswer(metric=standing.metric, period_start=standing.period_start, quantity=standing.quantity)


def _moment(until: float) -> int | None:
    return None if until == math.inf else int(until)


def _cursor(organization: str) -> str:
    return base64.urlsafe_b64encode(organization.encode()).decode()


def _after(cursor: str) -> str:
    try:
        after = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
        return require_organization(after) if after else ""
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(
            "`cursor` is the `next_cursor` of the page before; leave it out at first"
        ) from error
