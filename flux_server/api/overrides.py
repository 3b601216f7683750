"""Overrides over HTTP: one organization's exceptions, each with an author and a reason."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from flux_middleware.snapshot import Override
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, OrganizationId, requires_scope
from flux_server.api.fields import Moment, Text, Value
from flux_server.api.organizations import MOVING, organization_answer
from flux_server.api.preconditions import Edit
from flux_server.api.problems import problem_responses
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.overrides import add_override, list_overrides, remove_override

__all__ = ["router"]

router = APIRouter(tags=["organizations"], responses=problem_responses(401, 403))

Admin = Annotated[Caller, Depends(requires_scope("admin"))]
State = Literal["upcoming", "in_force", "over"]


class OverrideBody(BaseModel):
    """An exception for one organization."""

    model_config = ConfigDict(extra="forbid")

    feature: Text
    effect: Literal["set", "add", "deny"]
    value: Value | None = None
    since: Moment | None = Field(None, description="Seconds since 1970; without it, from now on.")
    until: Moment | None = Field(None, description="Seconds since 1970; without it, until removed.")
    enforcement: Literal["hard", "soft"] | None = Field(
        None, description="How a limit that is used up by a metric is enforced meanwhile."
    )
    author: Text = Field("", max_length=255, description="Who decided it; the API key's name if left out.")
    reason: Text = Field("", max_length=2_000)


class OverrideAnswer(BaseModel):
    """An exception, and whether it is in force."""

    id: str
    feature: str
    effect: str
    value: Value | None
    since: int | None
    until: int | None
    enforcement: str | None
    author: str
    reason: str
    state: State


class OverridesAnswer(BaseModel):
    """An organization's exceptions, oldest first, those that are over included."""

    overrides: list[OverrideAnswer]


@router.get("/v1/organizations/{organization}/overrides", responses=problem_responses(404))
async def list_all_overrides(
    organization: OrganizationId,
    database: DatabaseOf,
    clock: Clock,
    caller: Annotated[Caller, Depends(requires_scope("read"))],
) -> OverridesAnswer:
    """List the organization's exceptions."""
    async with database.read() as connection:
        await read_organization(connection, caller.environment, organization)
        found = await list_overrides(connection, caller.environment, organization)
    return OverridesAnswer(overrides=[_answer(override, clock()) for override in found])


@router.post(
    "/v1/organizations/{organization}/overrides", status_code=201, responses=problem_responses(404, 422)
)
async def create_override(
    organization: OrganizationId,
    body: OverrideBody,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
    edit: Edit,
) -> OverrideAnswer:
    """Make an exception for the organization."""
    async with database.write(caller.actor) as connection:
        read = partial(organization_answer, connection, caller.environment, organization, clock())
        await edit.hold(connection, caller.environment, read, moving=MOVING)
        override = await add_override(
            connection,
            caller.environment,
            organization,
            feature=body.feature,
            effect=body.effect,
            value=body.value,
            since=body.since,
            until=body.until,
            enforcement=body.enforcement or "",
            author=body.author or caller.name,
            reason=body.reason,
            now=clock(),
        )
    return _answer(override, clock())


@router.delete(
    "/v1/organizations/{organization}/overrides/{override}",
    status_code=204,
    responses=problem_responses(404),
)
async def delete_override(
    organization: OrganizationId,
    override: Text,
    database: DatabaseOf,
    clock: Clock,
    caller: Admin,
    edit: Edit,
) -> None:
    """End an exception."""
    async with database.write(caller.actor) as connection:
        read = partial(organization_answer, connection, caller.environment, organization, clock())
        await edit.hold(connection, caller.environment, read, moving=MOVING)
        await remove_override(connection, caller.environment, organization, override, now=clock())


def _answer(override: Override, now: float) -> OverrideAnswer:
    return OverrideAnswer(
        id=override.id,
        feature=override.feature,
        effect=override.effect,
        value=override.value,
        since=override.since,
        until=override.until,
        enforcement=override.enforcement or None,
        author=override.author,
        reason=override.reason,
        state=_state(override, now),
    )


def _state(override: Override, now: float) -> State:
    if override.until is not None and override.until <= now:
        return "over"
    return "upcoming" if override.since is not None and override.since > now else "in_force"
