"""How the link to Stripe is, over HTTP: everything that the dashboard's page shows."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from flux_server.api.dependencies import Caller, requires_scope
from flux_server.api.problems import problem_responses
from flux_server.stripe.checks import Level, findings, worst
from flux_server.stripe.connector import Connector
from flux_server.stripe.doctor import diagnose
from flux_server.stripe.examining import read_case

__all__ = ["FindingAnswer", "router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"], responses=problem_responses(401, 403, 404))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


async def _get_connector(request: Request) -> Connector:
    return cast("Connector", request.app.state.stripe)


ConnectorOf = Annotated[Connector, Depends(_get_connector)]


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class FindingAnswer(_Answer):
    """What a check found: `message` says what it means, `fix` what to do."""

    check: str
    title: str
    level: Level
    message: str
    fix: str


class HeardAnswer(_Answer):
    """What came from Stripe: the last webhook that was taken, how many events lately, and what was refused."""

    last_id: str | None
    last_type: str | None
    last_at: int | None
    hour: int
    day: int
    missed_day: int = Field(description="Of the last day's: those whose webhook never came.")
    refused: int
    refused_at: int | None
    refused_reason: str | None


class FailedReadAnswer(_Answer):
    """An object that could not be read from Stripe so far, and why; it is tried again."""

    object_type: str
    object_id: str
    attempts: int
    error: str


class LastSweepAnswer(_Answer):
    """The last reading of all subscriptions; without `finished_at` it is under way."""

    id: str
    reason: str
    started_at: int
    finished_at: int | None
    seen: int
    drifted: int
    error: str | None


class HealthAnswer(_Answer):
    """How the link is; `level` is that of the worst finding."""

    at: int
    level: Level
    status: str
    heard: HeardAnswer
    waiting: int = Field(description="Objects that are to be read from Stripe.")
    waiting_since: int | None
    failed: list[FailedReadAnswer]
    looked_until: int | None = Field(description="Up to when Stripe's list was asked for missed events.")
    sweep: LastSweepAnswer | None
    swept_at: int | None = Field(description="When all subscriptions were last compared.")
    outbox: dict[str, int] = Field(description="Usage by its state: pending, sent, ambiguous, dead.")
    unsent_since: int | None
    findings: list[FindingAnswer]


class DiagnosisAnswer(_Answer):
    """What was found by asking Stripe and by looking at what Flux knows; `level` is that of the worst."""

    at: int
    level: Level
    findings: list[FindingAnswer]


@router.get("/doctor")
async def diagnose_stripe(connector: ConnectorOf, caller: Admin) -> DiagnosisAnswer:
    """Ask Stripe with the link's key what is there; say what is wrong with the link, and how to mend it."""
    return DiagnosisAnswer.model_validate(await diagnose(connector, caller.environment))


@router.get("/health")
async def read_stripe_health(connector: ConnectorOf, caller: Reader) -> HealthAnswer:
    """Say how the link is: what came, what waits, what is wrong and what to do. Asks nothing of Stripe."""
    async with connector.database.read() as connection:
        case = await read_case(connector, connection, caller.environment)
    found, health = findings(case), case.health
    return HealthAnswer(
        at=health.at,
        level=worst(found),
        status=health.link.status,
        heard=HeardAnswer.model_validate(health.heard),
        waiting=health.waiting,
        waiting_since=health.waiting_since,
        failed=[FailedReadAnswer.model_validate(each) for each in health.failed],
        looked_until=health.looked_until,
        sweep=LastSweepAnswer.model_validate(health.sweep) if health.sweep else None,
        swept_at=health.swept_at,
        outbox=dict(health.outbox),
        unsent_since=health.unsent_since,
        findings=[FindingAnswer.model_validate(each) for each in found],
    )
