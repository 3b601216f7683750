"""Features and metrics over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Metric
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Key, Text
from flux_server.api.pages import Cursor, Limit, cut, read_cursor
from flux_server.api.preconditions import Conditional, Edit
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
    """A page of features, by key; `next_cursor` asks for the one after it."""

    features: list[FeatureAnswer]
    next_cursor: str | None


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
    """A page of metrics, by key; `next_cursor` asks for the one after it."""

    metrics: list[MetricAnswer]
    next_cursor: str | None


@router.get("/v1/features", responses=problem_responses(422))
async def list_all_features(
    database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> FeaturesAnswer:
    """List features in the order of their keys."""
    after = read_cursor(cursor)
    async with database.read() as connection:
        found = await describe_features(connection, caller.environment, after=after, limit=limit + 1)
    page, next_cursor = cut(found, limit, lambda feature: feature.value.key)
    return FeaturesAnswer(features=[_feature_answer(feature) for feature in page], next_cursor=next_cursor)


@router.get("/v1/features/{key}", responses=problem_responses(404))
async def read_one_feature(
    key: Key, database: DatabaseOf, caller: Reader, conditions: Conditional
) -> FeatureAnswer:
    """Return a feature."""
    async with database.read() as connection:
        return conditions.shown(await _feature(connection, caller, key))


@router.put("/v1/features/{key}", responses=problem_responses(409, 422))
async def put_feature(
    key: Key, body: FeatureBody, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> FeatureAnswer:
    """Define a feature, or change it."""
    feature = Feature(key, **body.model_dump(exclude_none=True, exclude={"description"}))
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _feature(connection, caller, key), makes=True)
        await save_feature(connection, caller.environment, feature, clock(), description=body.description)
        return edit.shown(await _feature(connection, caller, key))


@router.post("/v1/features/{key}/archive", responses=problem_responses(404))
async def archive_one_feature(
    key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> FeatureAnswer:
    """Let no new plan version grant the feature; those that do go on."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _feature(connection, caller, key))
        await archive_feature(connection, caller.environment, key, clock())
        return edit.shown(await _feature(connection, caller, key))


@router.post("/v1/features/{key}/restore", responses=problem_responses(404))
async def restore_one_feature(
    key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> FeatureAnswer:
    """Take back that the feature is archived."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _feature(connection, caller, key))
        await archive_feature(connection, caller.environment, key, clock(), archived=False)
        return edit.shown(await _feature(connection, caller, key))


@router.get("/v1/metrics", responses=problem_responses(422))
async def list_all_metrics(
    database: DatabaseOf, caller: Reader, cursor: Cursor = "", limit: Limit = 50
) -> MetricsAnswer:
    """List metrics in the order of their keys."""
    after = read_cursor(cursor)
    async with database.read() as connection:
        found = await describe_metrics(connection, caller.environment, after=after, limit=limit + 1)
    page, next_cursor = cut(found, limit, lambda metric: metric.value.key)
    return MetricsAnswer(metrics=[_metric_answer(metric) for metric in page], next_cursor=next_cursor)


@router.get("/v1/metrics/{key}", responses=problem_responses(404))
async def read_one_metric(
    key: Key, database: DatabaseOf, caller: Reader, conditions: Conditional
) -> MetricAnswer:
    """Return a metric."""
    async with database.read() as connection:
        return conditions.shown(await _metric(connection, caller, key))


@router.put("/v1/metrics/{key}", responses=problem_responses(409, 422))
async def put_metric(
    key: Key, body: MetricBody, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> MetricAnswer:
    """Define a metric, or change it."""
    metric = Metric(key, **body.model_dump(exclude={"description"}))
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _metric(connection, caller, key), makes=True)
        await save_metric(connection, caller.environment, metric, clock(), description=body.description)
        return edit.shown(await _metric(connection, caller, key))


@router.post("/v1/metrics/{key}/archive", responses=problem_responses(404))
async def archive_one_metric(
    key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> MetricAnswer:
    """Let no new limit or price use the metric; its usage is still counted."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _metric(connection, caller, key))
        await archive_metric(connection, caller.environment, key, clock())
        return edit.shown(await _metric(connection, caller, key))


@router.post("/v1/metrics/{key}/restore", responses=problem_responses(404))
async def restore_one_metric(
    key: Key, database: DatabaseOf, clock: Clock, caller: Admin, edit: Edit
) -> MetricAnswer:
    """Take back that the metric is archived."""
    async with database.write(caller.actor) as connection:
        await edit.hold(connection, caller.environment, lambda: _metric(connection, caller, key))
        await archive_metric(connection, caller.environment, key, clock(), archived=False)
        return edit.shown(await _metric(connection, caller, key))


async def _feature(connection: AsyncConnection, caller: Caller, key: str) -> FeatureAnswer:
    return _feature_answer(await read_feature(connection, caller.environment, key))


def _feature_answer(described: Described[Feature]) -> FeatureAnswer:
    return FeatureAnswer(**_members(described))


async def _metric(connection: AsyncConnection, caller: Caller, key: str) -> MetricAnswer:
    return _metric_answer(await read_metric(connection, caller.environment, key))


def _metric_answer(described: Described[Metric]) -> MetricAnswer:
    return MetricAnswer(**_members(described))


def _members(described: Described[Feature] | Described[Metric]) -> dict[str, Any]:
    own = {"description": described.description, "archived_at": described.archived_at}
    return msgspec.structs.asdict(described.value) | own
