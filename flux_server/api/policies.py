"""The environment's status policy over HTTP: what a subscription's status gives, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import StatusPolicy
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.preconditions import Conditional, Edit
from flux_server.api.problems import problem_responses
from flux_server.catalog.policies import set_policy
from flux_server.catalog.values import MAX_GRACE, MAX_LEEWAY
from flux_server.environments.environments import read_environment

__all__ = ["PolicyBody", "router"]

router = APIRouter(tags=["catalog"], responses=problem_responses(401, 403))

_Status = Literal["trialing", "past_due", "unpaid", "incomplete", "paused"]
_Effect = Literal["grant", "grace", "revoke"]
_DEFAULT = StatusPolicy()


class PolicyBody(BaseModel):
    """A status policy; a status that it leaves out does as it does by default."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    leeway: StrictInt = Field(
        _DEFAULT.leeway,
        ge=0,
        le=MAX_LEEWAY,
        description="Seconds of access after a period or trial ends, while its renewal is on the way.",
    )
    grace: StrictInt = Field(
        _DEFAULT.grace, ge=0, le=MAX_GRACE, description="Seconds of access after a payment first failed."
    )
    statuses: dict[_Status, _Effect] = Field(default_factory=dict)
    pause_collection: Literal["grant", "until_period_end"] = Field(
        "grant", description="What to do while Stripe waives what falls due."
    )

    def policy(self) -> StatusPolicy:
        """Return the policy as the catalog has it."""
        return StatusPolicy(**self.model_dump())


@router.get("/v1/policy")
async def read_policy(
    database: DatabaseOf,
    caller: Annotated[Caller, Depends(requires_scope("read"))],
    conditions: Conditional,
) -> PolicyBody:
    """Return how the environment reads the statuses of subscriptions."""
    async with database.read() as connection:
        return conditions.shown(await _policy(connection, caller))


@router.put("/v1/policy", responses=problem_responses(422))
async def put_policy(
    body: PolicyBody,
    database: DatabaseOf,
    clock: Clock,
    caller: Annotated[Caller, Depends(requires_scope("admin"))],
    edit: Edit,
) -> PolicyBody:
    """Read the statuses of the environment's subscriptions in this way."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _policy(connection, caller))
        await set_policy(connection, caller.environment, body.policy(), clock())
        return edit.shown(await _policy(connection, caller))


async def _policy(connection: AsyncConnection, caller: Caller) -> PolicyBody:
    return PolicyBody.model_validate((await read_environment(connection, caller.environment)).policy)
