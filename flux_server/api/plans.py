"""Plans over HTTP: their drafts, versions, prices and policies, and what publishing one would change."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Grant, PlanVersion, plan_version_id
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Key, Text, Value
from flux_server.api.pages import Cursor, Limit, cut, read_cursor
from flux_server.api.policies import PolicyBody
from flux_server.api.preconditions import Conditional, Edit
from flux_server.api.problems import problem_responses
from flux_server.catalog.features import MAX_FEATURES
from flux_server.catalog.plans import PlanDraft, archive_plan, save_plan, set_default_plan
from flux_server.catalog.policies import set_plan_policy
from flux_server.catalog.publishing import GrantChange, publish_plan
from flux_server.catalog.reading import Plan, PlanPrice, list_plans, read_plan
from flux_server.catalog.values import MAX_PRICES
from flux_server.environments.environments import read_environment
from flux_server.organizations.catalog_changes import Publication, apply_prices, preview_publication

__all__ = ["router"]

router = APIRouter(tags=["catalog"], responses=problem_responses(401, 403))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class GrantBody(_Body):
    """One feature's value in a plan; `per_unit` numbers are multiplied by the subscribed quantity.

    `enforcement` is the plan's way with a metered limit: it stops at its end, or more is used and billed. Empty: as
    the feature says.
    """

    feature: Text
    value: Value
    per_unit: bool = False
    enforcement: Literal["hard", "soft", ""] = ""


class PriceBody(_Body):
    """A price by which the plan is sold; of a metered price, the metric that it bills."""

    price: Text
    metric: Text | None = None


class PlanBody(_Body):
    """A plan as it should be; its grants become the draft of the next version."""

    name: Text = Field("", max_length=255)
    description: Text = Field("", max_length=2_000)
    kind: Literal["base", "addon"] = "base"
    prices: list[PriceBody] = Field(default_factory=list, max_length=MAX_PRICES)
    grants: list[GrantBody] = Field(default_factory=list, max_length=MAX_FEATURES)


class VersionAnswer(BaseModel):
    """A published version, which never changes."""

    id: str
    version: int
    grants: list[GrantBody]
    published_at: int
    replaced_by: str | None


class PlanAnswer(BaseModel):
    """A plan with its published versions, oldest first, and the draft of the next."""

    key: str
    name: str
    description: str
    kind: Literal["base", "addon"]
    prices: list[PriceBody]
    policy: PolicyBody | None = Field(description="Instead of the environment's; null for that one.")
    draft: list[GrantBody] | None
    versions: list[VersionAnswer]
    archived_at: int | None


class PlansAnswer(BaseModel):
    """A page of plans, by key; `next_cursor` asks for the one after it."""

    plans: list[PlanAnswer]
    next_cursor: str | None


class GrantChangeAnswer(BaseModel):
    """What would change of one feature; null where the feature is not granted."""

    feature: str
    before: GrantBody | None
    after: GrantBody | None


class PreviewAnswer(BaseModel):
    """What publishing the draft would change, and for how many organizations if they migrate."""

    plan: str
    changes: list[GrantChangeAnswer]
    subscribers: dict[str, int] = Field(description="Organizations that subscribe to each version.")
    is_default_plan: bool = Field(description="Then everybody without a base plan has the newest version.")


class PublishBody(_Body):
    """Whether present subscribers stay on their version or migrate to the new one."""

    existing: Literal["stay", "migrate"]


class PublishAnswer(BaseModel):
    """The version that was published."""

    id: str
    plan: str
    version: int


class DefaultPlanBody(_Body):
    """The plan of organizations that have no base plan; null for none."""

    plan: Text | None


@router.get("/v1/plans", responses=problem_responses(422))
async def list_all_plans(
    database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> PlansAnswer:
    """List plans in the order of their keys, with all their versions."""
    after = read_cursor(cursor)
    async with database.read() as connection:
        found = await list_plans(connection, caller.environment, after=after, limit=limit + 1)
    page, next_cursor = cut(found, limit, lambda plan: plan.key)
    return PlansAnswer(plans=[_plan_answer(plan) for plan in page], next_cursor=next_cursor)


@router.get("/v1/plans/{key}", responses=problem_responses(404))
async def read_one_plan(
    key: Key, database: DatabaseOf, caller: Reader, conditions: Conditional
) -> PlanAnswer:
    """Return a plan, with all its versions."""
    async with database.read() as connection:
        return conditions.shown(await _plan(connection, caller, key))


@router.put("/v1/plans/{key}", responses=problem_responses(409, 422))
async def put_plan(
    key: Key, body: PlanBody, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> PlanAnswer:
    """Make a plan, or change it: name and prices at once, grants as the draft of the next version."""
    draft = PlanDraft(
        key=key,
        name=body.name,
        kind=body.kind,
        prices=tuple(PlanPrice(price.price, price.metric) for price in body.prices),
        grants=tuple(Grant(**grant.model_dump()) for grant in body.grants),
        description=body.description,
    )
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _plan(connection, caller, key), makes=True)
        plan = await save_plan(connection, caller.environment, draft, clock())
        await apply_prices(connection, caller.environment, clock())
        return edit.shown(_plan_answer(plan))


@router.get("/v1/plans/{key}/preview", responses=problem_responses(404))
async def preview_plan(key: Key, database: DatabaseOf, caller: Reader) -> PreviewAnswer:
    """Return what publishing the plan's draft would change, and for how many organizations."""
    async with database.read() as connection:
        return _preview_answer(await preview_publication(connection, caller.environment, key))


@router.post("/v1/plans/{key}/publish", responses=problem_responses(404, 409, 422))
async def publish_one_plan(
    key: Key, body: PublishBody, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> PublishAnswer:
    """Publish the plan's draft as its next version."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _plan(connection, caller, key))
        version = await publish_plan(connection, caller.environment, key, existing=body.existing, now=clock())
        await apply_prices(connection, caller.environment, clock())
    return _publish_answer(version)


@router.post("/v1/plans/{key}/archive", responses=problem_responses(404, 409))
async def archive_one_plan(
    key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> PlanAnswer:
    """Let the plan be changed and published no more; who has it, or still buys it, keeps it."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _plan(connection, caller, key))
        return edit.shown(_plan_answer(await archive_plan(connection, caller.environment, key, clock())))


@router.post("/v1/plans/{key}/restore", responses=problem_responses(404))
async def restore_one_plan(
    key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> PlanAnswer:
    """Take back that the plan is archived."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _plan(connection, caller, key))
        return edit.shown(
            _plan_answer(await archive_plan(connection, caller.environment, key, clock(), archived=False))
        )


@router.put("/v1/plans/{key}/policy", responses=problem_responses(404, 422))
async def put_plan_policy(
    key: Key, body: PolicyBody, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> PolicyBody:
    """Read the statuses of this plan's subscribers in another way than the environment's."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _plan(connection, caller, key))
        await set_plan_policy(connection, caller.environment, key, body.policy(), clock())
    return body


@router.delete("/v1/plans/{key}/policy", status_code=204, responses=problem_responses(404))
async def delete_plan_policy(key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit) -> None:
    """Read the statuses of this plan's subscribers as the environment does."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _plan(connection, caller, key))
        await set_plan_policy(connection, caller.environment, key, None, clock())


@router.get("/v1/default-plan")
async def read_default_plan(database: DatabaseOf, caller: Reader, conditions: Conditional) -> DefaultPlanBody:
    """Return what organizations without a base plan have."""
    async with database.read() as connection:
        return conditions.shown(await _default_plan(connection, caller))


@router.put("/v1/default-plan", responses=problem_responses(404, 409, 422))
async def put_default_plan(
    body: DefaultPlanBody, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> DefaultPlanBody:
    """Choose what organizations without a base plan have."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _default_plan(connection, caller))
        await set_default_plan(connection, caller.environment, body.plan, clock())
        return edit.shown(await _default_plan(connection, caller))


async def _plan(connection: AsyncConnection, caller: Caller, key: str) -> PlanAnswer:
    return _plan_answer(await read_plan(connection, caller.environment, key))


async def _default_plan(connection: AsyncConnection, caller: Caller) -> DefaultPlanBody:
    return DefaultPlanBody(plan=(await read_environment(connection, caller.environment)).default_plan)


def _publish_answer(version: PlanVersion) -> PublishAnswer:
    return PublishAnswer(id=version.id, plan=version.plan, version=version.version)


def _preview_answer(publication: Publication) -> PreviewAnswer:
    return PreviewAnswer(
        plan=publication.plan,
        changes=[_change_answer(change) for change in publication.changes],
        subscribers=publication.subscribers,
        is_default_plan=publication.is_default_plan,
    )


def _change_answer(change: GrantChange) -> GrantChangeAnswer:
    before, after = (None if grant is None else _grant_body(grant) for grant in (change.before, change.after))
    return GrantChangeAnswer(feature=change.feature, before=before, after=after)


def _plan_answer(plan: Plan) -> PlanAnswer:
    return PlanAnswer(
        key=plan.key,
        name=plan.name,
        description=plan.description,
        kind=plan.kind,
        prices=[PriceBody.model_validate(price) for price in plan.prices],
        policy=None if plan.policy is None else PolicyBody.model_validate(plan.policy),
        draft=None if plan.draft is None else [_grant_body(grant) for grant in plan.draft],
        versions=[
            VersionAnswer(
                id=plan_version_id(plan.key, version.version),
                version=version.version,
                grants=[_grant_body(grant) for grant in version.grants],
                published_at=version.published_at,
                replaced_by=None
                if version.replaced_by is None
                else plan_version_id(plan.key, version.replaced_by),
            )
            for version in plan.versions
        ],
        archived_at=plan.archived_at,
    )


def _grant_body(grant: Grant) -> GrantBody:
    return GrantBody.model_validate(msgspec.structs.asdict(grant))
