"""Sweeps over HTTP: having everything read again, how far that is, and what was not as Flux believed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text
from flux_server.api.pages import Cursor, Limit, cut, read_cursor, read_numbered_cursor
from flux_server.api.problems import problem_responses
from flux_server.stripe.drift import Drift, list_drift
from flux_server.stripe.link import require_link
from flux_server.stripe.sweeps import Sweep, list_sweeps, read_sweep, start_sweep

__all__ = ["router"]

router = APIRouter(prefix="/v1/stripe", tags=["stripe"])

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]

_SEPARATOR = "\n"  # of a drift's type and id in a cursor: neither has one


class SweepAnswer(BaseModel):
    """One reading of all subscriptions of the account."""

    id: str
    reason: str = Field(description="`linked`, `nightly`, `asked`, `resumed`, `many-dirty` or `lost-events`.")
    status: str = Field(description="`running`, `done` or `failed`.")
    started_at: int
    finished_at: int | None
    seen: int = Field(description="How many subscriptions were read so far.")
    drifted: int = Field(description="How many objects were not as Flux believed, though nothing had told.")
    error: str | None = Field(description="Why it does not go on now, or why it failed.")


class DifferenceAnswer(BaseModel):
    """One field: what Flux believed, and what Stripe says."""

    field: str
    before: str | int | bool | None
    after: str | int | bool | None


class DriftAnswer(BaseModel):
    """An object that was not as Flux believed."""

    object_type: str
    object_id: str
    organization: str | None
    differences: list[DifferenceAnswer]
    since: int | None = Field(description="When Flux had last read it; it has changed after that.")
    found_at: int
    repair: str = Field(description="`saved` as it is, `ended`, or `added`.")


class SweepsAnswer(BaseModel):
    """A page of sweeps, newest first."""

    sweeps: list[SweepAnswer]
    next_cursor: str | None


class SweepReport(SweepAnswer):
    """A sweep with a page of what it found."""

    drift: list[DriftAnswer]
    next_cursor: str | None


@router.post("/sync", status_code=202, responses=problem_responses(401, 403, 404))
async def start_stripe_sync(database: DatabaseOf, clock: Clock, caller: Admin) -> SweepAnswer:
    """Have every subscription of the account read again; a sweep that has not begun yet will do."""
    async with database.write(caller.actor) as connection:
        await require_link(connection, caller.environment)
        return _answer(await start_sweep(connection, caller.environment, "asked", clock()))


@router.get("/sweeps", responses=problem_responses(401, 403, 422))
async def list_stripe_sweeps(
    database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> SweepsAnswer:
    """Return the sweeps of the last 90 days, newest first."""
    before = read_numbered_cursor(cursor)
    async with database.read() as connection:
        found = await list_sweeps(connection, caller.environment, before=before, limit=limit + 1)
    page, next_cursor = cut(found, limit, lambda sweep: f"{sweep.started_at} {sweep.id}")
    return SweepsAnswer(sweeps=[_answer(sweep) for sweep in page], next_cursor=next_cursor)


@router.get("/sweeps/{sweep}", responses=problem_responses(401, 403, 404, 422))
async def read_stripe_sweep(
    sweep: Text, database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> SweepReport:
    """Return the sweep, and what it found that nothing had told."""
    object_type, _, object_id = read_cursor(cursor).partition(_SEPARATOR)
    async with database.read() as connection:
        found = await read_sweep(connection, caller.environment, sweep)
        after = (object_type, object_id)
        drift = await list_drift(connection, caller.environment, sweep, after=after, limit=limit + 1)
    page, next_cursor = cut(drift, limit, lambda each: f"{each.object_type}{_SEPARATOR}{each.object_id}")
    return SweepReport(
        **_answer(found).model_dump(), drift=[_drift(each) for each in page], next_cursor=next_cursor
    )


def _answer(sweep: Sweep) -> SweepAnswer:
    return SweepAnswer.model_validate(sweep, from_attributes=True)


def _drift(drift: Drift) -> DriftAnswer:
    return DriftAnswer.model_validate(drift, from_attributes=True)
