"""What organizations are entitled to over HTTP, now or at any other moment, each with the whole chain of why."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.entitlements import Entitlement, Reason, Verdict, explain
from flux_middleware.snapshot import wire_value
from flux_middleware.wording import sentence, verdict_sentence
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, OrganizationId, requires_scope
from flux_server.api.fields import Key, Value
from flux_server.api.problems import problem_responses
from flux_server.errors import NotFoundError
from flux_server.moments import moment_text, parse_moment
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.past import Standing, read_standing_at, read_standing_now

__all__ = ["At", "EntitlementAnswer", "entitlement_answers", "last_moment", "read_standing_as_of", "router"]

router = APIRouter(tags=["organizations"], responses=problem_responses(401, 403))


class ReasonAnswer(BaseModel):
    """One link of the chain that led to a value, or that did not and why; `sentence` says it in words."""

    kind: str
    counted: bool
    verdict: str = Field(description="`counted`, or why it was not.")
    sentence: str
    value: Value
    since: int | None
    until: int | None
    plan_version: str
    subscription: str
    status: str
    unknown_status: str
    item: str
    price: str
    override: str
    effect: str
    author: str
    note: str


class PeriodAnswer(BaseModel):
    """A stretch of time from `start` until before `end`; without an end it is all time."""

    start: int
    end: int | None


class EntitlementAnswer(BaseModel):
    """A feature's value, until when it surely stands, and why.

    A limit that is used up by a metric also has its enforcement and the period that its usage counts in.
    """

    feature: str
    entitled: bool
    value: Value
    until: int | None
    enforcement: str | None
    period: PeriodAnswer | None
    reasons: list[ReasonAnswer]


class ExplanationAnswer(EntitlementAnswer):
    """One feature of one organization, explained."""

    organization: str
    as_of: int
    summary: str


def _moment(
    at: Annotated[
        str | None,
        Query(
            max_length=64,
            description="As of which moment: seconds since 1970, or RFC 3339 (`2027-01-31T12:00:00Z`); now if left "
            "out. A moment ahead shows what will be if nothing changes.",
        ),
    ] = None,
) -> int | None:
    return None if at is None else parse_moment(at)


At = Annotated[int | None, Depends(_moment)]


@router.get("/v1/organizations/{organization}/entitlements/{key}", responses=problem_responses(404, 422))
async def explain_entitlement(
    organization: OrganizationId,
    key: Key,
    database: DatabaseOf,
    clock: Clock,
    caller: Annotated[Caller, Depends(requires_scope("read"))],
    at: At = None,
) -> ExplanationAnswer:
    """Say whether an organization is entitled to a feature, and why or why not."""
    async with database.read() as connection:
        await read_organization(connection, caller.environment, organization)
        standing = await read_standing_as_of(connection, caller.environment, organization, at, clock())
    found = explain(standing.catalog, standing.record, standing.moment).by_feature.get(key)
    if found is None:
        when = "" if at is None else f" at {moment_text(at)}"
        raise NotFoundError(f"there is no feature {key!r:.100}{when}; GET /v1/features lists those of today")
    return ExplanationAnswer(
        **_entitlement(found).model_dump(),
        organization=organization,
        as_of=int(standing.moment),
        summary=verdict_sentence(organization, key, found.value, found.until),
    )


async def read_standing_as_of(
    connection: AsyncConnection, environment: str, organization: str, at: int | None, now: float
) -> Standing:
    """Return how the organization stood, or will stand, at `at`; without it, how it stands."""
    if at is None:
        return await read_standing_now(connection, environment, organization, now)
    return await read_standing_at(connection, environment, organization, at)


def entitlement_answers(standing: Standing) -> tuple[list[EntitlementAnswer], int | None]:
    """Return an answer for each feature that anything speaks of, and until when all of them stand."""
    explained = explain(standing.catalog, standing.record, standing.moment)
    answers = [_entitlement(found) for _, found in sorted(explained.by_feature.items()) if found.reasons]
    return answers, last_moment(explained.until)


def last_moment(until: float) -> int | None:
    """Return the moment as it is answered: none for always."""
    return None if math.isinf(until) else int(until)


def _entitlement(found: Entitlement) -> EntitlementAnswer:
    period = found.period
    return EntitlementAnswer(
        feature=found.feature,
        entitled=found.value > 0,
        value=wire_value(found.value),
        until=last_moment(found.until),
        enforcement=found.enforcement or None,
        period=None if period is None else PeriodAnswer(start=period[0], end=last_moment(period[1])),
        reasons=[_reason(reason) for reason in found.reasons],
    )


def _reason(reason: Reason) -> ReasonAnswer:
    return ReasonAnswer(
        kind=reason.kind,
        counted=reason.verdict is Verdict.COUNTED,
        verdict=reason.verdict,
        sentence=sentence(reason),
        value=wire_value(reason.value),
        since=last_moment(reason.since),
        until=last_moment(reason.until),
        plan_version=reason.plan_version,
        subscription=reason.subscription,
        status=reason.status,
        unknown_status=reason.unknown_status,
        item=reason.item,
        price=reason.price,
        override=reason.override,
        effect=reason.effect,
        author=reason.author,
        note=reason.note,
    )
