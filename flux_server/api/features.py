"""Features and metrics over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from flux_middleware.snapshot import Feature, Metric
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text
from flux_server.api.problems import problem_responses
from flux_server.catalog.features import archive_feature, archive_metric, save_feature, save_metric
from flux_server.catalog.reading import (
    Described,
    describe_features,
    describe_metrics,
    read_feature,
    read_metric,
)

__all__ = ["router"]

router = APIRouter(tags=["catalog"], responses=problem_responses(401, 403))

Reader = Annotated[Caller, Depends(requires_scope("read"))]
Admin = Annotated[Caller, Depends(requires_scope("admin"))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FeatureBody(_Body):
    """A feature, without the key that is in the address."""

    kind: Literal["boolean", "limit"]
    name: Text = Field("", max_length=255)
    description: Text = Field("", max_length=2_000)
    merge: Literal["any", "base_plus_addons", "sum", "max", "min"] | None = None
    metric: Text | None = None
    reset: Literal["billing", "day", "week", "month", "year", "never"] = "billing"
    enforcement: Literal["hard", "soft"] = "hard"


class FeatureAnswer(FeatureBody):
    """A feature that plans can grant."""

    key: str
    archived_at: int | None


class FeaturesAnswer(BaseModel):
    """Every feature, by key."""

    features: list[FeatureAnswer]


class MetricBody(_Body):
    """A metric, without the key that is in the address."""

    name: Text = Field("", max_length=255)
    description: Text = Field("", max_length=2_000)
    unit: Text = Field("", max_length=64)
    aggregation: Literal["sum"] = "sum"


class MetricAnswer(MetricBody):
    """Something that is counted."""

    key: str
    archived_at: int | None


class MetricsAnswer(BaseModel):
    """Every metric, by key."""

    metrics: list[MetricAnswer]


@router.get("/v1/features")
async def list_all_features(database: DatabaseOf, caller: Reader) -> FeaturesAnswer:
    """List the features."""
    async with database.read() as connection:
        found = await describe_features(connection, caller.environment)
    return FeaturesAnswer(features=[_feature_answer(feature) for feature in found])


@router.get("/v1/features/{key}", responses=problem_responses(404))
async def read_one_feature(key: Text, database: DatabaseOf, caller: Reader) -> FeatureAnswer:
    """Return a feature."""
    async with database.read() as connection:
        return _feature_answer(await read_feature(connection, caller.environment, key))


@router.put("/v1/features/{key}", responses=problem_responses(409, 422))
async def put_feature(
    key: Text, body: FeatureBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> FeatureAnswer:
    """Define a feature, or change it."""
    feature = Feature(key, **body.model_dump(exclude_none=True, exclude={"description"}))
    async with database.write(caller.actor) as connection:
        await save_feature(connection, caller.environment, feature, clock(), description=body.description)
        return _feature_answer(await read_feature(connection, caller.environment, key))


@router.post("/v1/features/{key}/archive", responses=problem_responses(404))
async def archive_one_feature(key: Text, database: DatabaseOf, clock: Clock, caller: Admin) -> FeatureAnswer:
    """Let no new plan version grant the feature; those that do go on."""
    async with database.write(caller.actor) as connection:
        await archive_feature(connection, caller.environment, key, clock())
        return _feature_answer(await read_feature(connection, caller.environment, key))


@router.post("/v1/features/{key}/restore", responses=problem_responses(404))
async def restore_one_feature(key: Text, database: DatabaseOf, clock: Clock, caller: Admin) -> FeatureAnswer:
    """Take back that the feature is archived."""
    async with database.write(caller.actor) as connection:
        await archive_feature(connection, caller.environment, key, clock(), archived=False)
        return _feature_answer(await read_feature(connection, caller.environment, key))


@router.get("/v1/metrics")
async def list_all_metrics(database: DatabaseOf, caller: Reader) -> MetricsAnswer:
    """List the metrics."""
    async with database.read() as connection:
        found = await describe_metrics(connection, caller.environment)
    return MetricsAnswer(metrics=[_metric_answer(metric) for metric in found])


@router.get("/v1/metrics/{key}", responses=problem_responses(404))
async def read_one_metric(key: Text, database: DatabaseOf, caller: Reader) -> MetricAnswer:
    """Return a metric."""
    async with database.read() as connection:
        return _metric_answer(await read_metric(connection, caller.environment, key))


@router.put("/v1/metrics/{key}", responses=problem_responses(409, 422))
async def put_metric(
    key: Text, body: MetricBody, database: DatabaseOf, clock: Clock, caller: Admin
) -> MetricAnswer:
    """Define a metric, or change it."""
    metric = Metric(key, **body.model_dump(exclude={"description"}))
    async with database.write(caller.actor) as connection:
        await save_metric(connection, caller.environment, metric, clock(), description=body.description)
        return _metric_answer(await read_metric(connection, caller.environment, key))


@router.post("/v1/metrics/{key}/archive", responses=problem_responses(404))
async def archive_one_metric(key: Text, database: DatabaseOf, clock: Clock, caller: Admin) -> MetricAnswer:
    """Let no new limit or price use the metric; its usage is still counted."""
    async with database.write(caller.actor) as connection:
        await archive_metric(connection, caller.environment, key, clock())
        return _metric_answer(await read_metric(connection, caller.environment, key))


@router.post("/v1/metrics/{key}/restore", responses=problem_responses(404))
async def restore_one_metric(key: Text, database: DatabaseOf, clock: Clock, caller: Admin) -> MetricAnswer:
    """Take back that the metric is archived."""
    async with database.write(caller.actor) as connection:
        await archive_metric(connection, caller.environment, key, clock(), archived=False)
        return _metric_answer(await read_metric(connection, caller.environment, key))


def _feature_answer(described: Described[Feature]) -> FeatureAnswer:
    return FeatureAnswer(**_members(described))


def _metric_answer(described: Described[Metric]) -> MetricAnswer:
    return MetricAnswer(**_members(described))


def _members(described: Described[Feature] | Described[Metric]) -> dict[str, Any]:
    own = {"description": described.description, "archived_at": described.archived_at}
    return msgspec.structs.asdict(described.value) | own
