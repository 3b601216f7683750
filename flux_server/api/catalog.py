"""Features, metrics and plans over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from flux_middleware.snapshot import Feature, Grant, Metric, PlanVersion, plan_version_id
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text, Value
from flux_server.api.problems import problem_responses
from flux_server.catalog.editing import (
    PlanDraft,
    publish_plan,
    save_feature,
    save_metric,
    save_plan,
    set_default_plan,
)
from flux_server.catalog.reading import (
    Plan,
    PlanPrice,
    list_features,
    list_metrics,
    list_plans,
    read_feature,
    read_metric,
    read_plan,
)
from flux_server.organizations.catalog_changes import apply_prices

__all__ = ["router"]

router = APIRouter(tags=["catalog"], responses=problem_responses(401, 403))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]
_MOST = 1_000  # grants or prices that one plan may have


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class FeatureBody(_Body):
    """A feature, without the key that is in the address."""

    kind: Literal["boolean", "limit"]
    name: Text = Field("", max_length=255)
    merge: Literal["any", "base_plus_addons", "sum", "max", "min"] | None = None
    metric: Text | None = None
    reset: Literal["billing", "day", "week", "month", "year", "never"] = "billing"


class FeatureAnswer(FeatureBody):
    """A feature that plans can grant."""

    key: str


class FeaturesAnswer(BaseModel):
    """Every feature, by key."""

    features: list[FeatureAnswer]


class MetricBody(_Body):
    """A metric, without the key that is in the address."""

    name: Text = Field("", max_length=255)
    unit: Text = Field("", max_length=64)
    aggregation: Literal["sum"] = "sum"


class MetricAnswer(MetricBody):
    """Something that is counted."""

    key: str


class MetricsAnswer(BaseModel):
    """Every metric, by key."""

    metrics: list[MetricAnswer]


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
    kind: Literal["base", "addon"] = "base"
    prices: list[PriceBody] = Field(default_factory=list, max_length=_MOST)
    grants: list[GrantBody] = Field(default_factory=list, max_length=_MOST)


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
    name: Text
    kind: Literal["base", "addon"]
    prices: list[PriceBody]
    draft: list[GrantBody] | None
    versions: list[VersionAnswer]


class PlansAnswer(BaseModel):
    """Every plan, by key."""

    plans: list[PlanAnswer]


class PublishBody(_Body):
    """Whether present subscribers stay on their version or migrate to the new one."""

    existing: Literal["stay", "migrate"]


class PublishAnswer(BaseModel):
    """The version that was published."""

    id: str
    plan: Text
    version: int


class DefaultPlanBody(_Body):
    """The plan of organizations that have no base plan; null for none."""

    plan: Text | None


@router.get("/v1/features")
async def list_all_features(database: DatabaseOf, caller: Reader) -> FeaturesAnswer:
    """List the features."""
    async with database.read() as connection:
        found = await list_features(connection, caller.environment)
    return FeaturesAnswer(features=[FeatureAnswer.model_validate(feature) for feature in found])


@router.get("/v1/features/{key}", responses=problem_responses(404))
async def read_one_feature(key: Text, database: DatabaseOf, caller: Reader) -> FeatureAnswer:
    """Return a feature."""
    async with database.read() as connection:
        return FeatureAnswer.model_validate(await read_feature(connection, caller.environment, key))


@router.put("/v1/features/{key}", responses=problem_responses(409, 422))
async def put_feature(
    key: Text, body: FeatureBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> FeatureAnswer:
    """Define a feature, or change it."""
    feature = Feature(key, **body.model_dump(exclude_none=True))
    async with database.write() as connection:
        await save_feature(connection, caller.environment, feature, clock())
        return FeatureAnswer.model_validate(await read_feature(connection, caller.environment, key))


@router.get("/v1/metrics")
async def list_all_metrics(database: DatabaseOf, caller: Reader) -> MetricsAnswer:
    """List the metrics."""
    async with database.read() as connection:
        found = await list_metrics(connection, caller.environment)
    return MetricsAnswer(metrics=[MetricAnswer.model_validate(metric) for metric in found])


@router.get("/v1/metrics/{key}", responses=problem_responses(404))
async def read_one_metric(key: Text, database: DatabaseOf, caller: Reader) -> MetricAnswer:
    """Return a metric."""
    async with database.read() as connection:
        return MetricAnswer.model_validate(await read_metric(connection, caller.environment, key))


@router.put("/v1/metrics/{key}", responses=problem_responses(422))
async def put_metric(
    key: Text, body: MetricBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> MetricAnswer:
    """Define a metric, or change it."""
    metric = Metric(key, **body.model_dump())
    async with database.write() as connection:
        await save_metric(connection, caller.environment, metric, clock())
    return MetricAnswer.model_validate(metric)


@router.get("/v1/plans")
async def list_all_plans(database: DatabaseOf, caller: Reader) -> PlansAnswer:
    """List the plans, with all their versions."""
    async with database.read() as connection:
        found = await list_plans(connection, caller.environment)
    return PlansAnswer(plans=[_plan_answer(plan) for plan in found])


@router.get("/v1/plans/{key}", responses=problem_responses(404))
async def read_one_plan(key: Text, database: DatabaseOf, caller: Reader) -> PlanAnswer:
    """Return a plan, with all its versions."""
    async with database.read() as connection:
        return _plan_answer(await read_plan(connection, caller.environment, key))


@router.put("/v1/plans/{key}", responses=problem_responses(409, 422))
async def put_plan(
    key: Text, body: PlanBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> PlanAnswer:
    """Make a plan, or change it: name and prices at once, grants as the draft of the next version."""
    draft = PlanDraft(
        key=key,
        name=body.name,
        kind=body.kind,
        prices=tuple(PlanPrice(price.price, price.metric) for price in body.prices),
        grants=tuple(Grant(**grant.model_dump()) for grant in body.grants),
    )
    async with database.write() as connection:
        plan = await save_plan(connection, caller.environment, draft, clock())
        await apply_prices(connection, caller.environment, key, clock())
    return _plan_answer(plan)


@router.post("/v1/plans/{key}/publish", responses=problem_responses(404, 409, 422))
async def publish(
    key: Text, body: PublishBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> PublishAnswer:
    """Publish the plan's draft as its next version."""
    async with database.write() as connection:
        version = await publish_plan(connection, caller.environment, key, existing=body.existing, now=clock())
        await apply_prices(connection, caller.environment, key, clock())
    return _publish_answer(version)


@router.put("/v1/default-plan", responses=problem_responses(404, 409, 422))
async def put_default_plan(
    body: DefaultPlanBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> DefaultPlanBody:
    """Choose what organizations without a base plan have."""
    async with database.write() as connection:
        await set_default_plan(connection, caller.environment, body.plan, clock())
    return body


def _publish_answer(version: PlanVersion) -> PublishAnswer:
    return PublishAnswer(id=version.id, plan=version.plan, version=version.version)


def _plan_answer(plan: Plan) -> PlanAnswer:
    return PlanAnswer(
        key=plan.key,
        name=plan.name,
        kind=plan.kind,
        prices=[PriceBody.model_validate(price) for price in plan.prices],
        draft=None if plan.draft is None else _grant_bodies(plan.draft),
        versions=[
            VersionAnswer(
                id=plan_version_id(plan.key, version.version),
                version=version.version,
                grants=_grant_bodies(version.grants),
                published_at=version.published_at,
                replaced_by=None
                if version.replaced_by is None
                else plan_version_id(plan.key, version.replaced_by),
            )
            for version in plan.versions
        ],
    )


def _grant_bodies(grants: tuple[Grant, ...]) -> list[GrantBody]:
    return [GrantBody.model_validate(msgspec.structs.asdict(grant)) for grant in grants]
