"""What an environment sells: the catalog that workers receive, and plans as their editors see them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec
from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import (
    Catalog,
    Feature,
    Grant,
    Metric,
    PlanVersion,
    StatusPolicy,
    decode,
    plan_version_id,
)
from flux_server.catalog.tables import features, metrics, plan_prices, plan_versions, plans
from flux_server.environments.environments import read_environment
from flux_server.errors import NotFoundError

__all__ = [
    "Described",
    "MatchedPrice",
    "Plan",
    "PlanPrice",
    "PublishedVersion",
    "catalog_of",
    "describe_features",
    "describe_metrics",
    "find_feature",
    "find_features",
    "find_metric",
    "find_plan",
    "list_features",
    "list_metrics",
    "list_plans",
    "match_prices",
    "read_catalog",
    "read_feature",
    "read_metric",
    "read_plan",
]

T = TypeVar("T")

_grants = msgspec.json.Decoder(tuple[Grant, ...])


@dataclass(frozen=True, slots=True)
class Described(Generic[T]):
    """A feature or a metric as workers know it, with what only its editors see."""

    value: T
    description: str = ""
    archived_at: int | None = None


@dataclass(frozen=True, slots=True)
class PlanPrice:
    """A price by which the plan is sold; of a metered price, the metric that it bills."""

    price: str
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version of a plan as it was published; `replaced_by` is the version its subscribers moved to."""

    version: int
    grants: tuple[Grant, ...]
    published_at: int
    replaced_by: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan with its published versions, oldest first, and the draft of the next one, if there is one.

    Its `policy` takes the place of the environment's for its subscribers.
    """

    key: str
    name: str
    kind: Literal["base", "addon"]
    prices: tuple[PlanPrice, ...]
    draft: tuple[Grant, ...] | None
    versions: tuple[PublishedVersion, ...]
    description: str = ""
    policy: StatusPolicy | None = None
    archived_at: int | None = None


@dataclass(frozen=True, slots=True)
class MatchedPrice:
    """The plan version (its id) that a price sells today, and the metric the price bills if it is metered."""

    plan_version: str
    metric: str | None


async def read_catalog(connection: AsyncConnection, environment: str) -> Catalog:
    """Return the catalog as workers receive it: published versions only."""
    settings = await read_environment(connection, environment)
    return catalog_of(
        await list_features(connection, environment),
        await list_metrics(connection, environment),
        await list_plans(connection, environment),
        default_plan=settings.default_plan,
        policy=settings.policy,
    )


def catalog_of(
    features: tuple[Feature, ...],
    metrics: tuple[Metric, ...],
    plans: tuple[Plan, ...],
    *,
    default_plan: str | None,
    policy: StatusPolicy,
) -> Catalog:
    """Return what workers need to know of all this."""
    newest = {
        plan.key: plan_version_id(plan.key, plan.versions[-1].version) for plan in plans if plan.versions
    }
    return Catalog(
        features=features,
        metrics=metrics,
        plan_versions=tuple(_wire_version(plan, version) for plan in plans for version in plan.versions),
        default_plan=newest.get(default_plan or ""),
        policy=policy,
        plan_policies={plan.key: plan.policy for plan in plans if plan.policy is not None},
    )


def _wire_version(plan: Plan, version: PublishedVersion) -> PlanVersion:
    replaced_by = version.replaced_by
    return PlanVersion(
        id=plan_version_id(plan.key, version.version),
        plan=plan.key,
        version=version.version,
        kind=plan.kind,
        grants=version.grants,
        replaced_by=None if replaced_by is None else plan_version_id(plan.key, replaced_by),
    )


async def list_features(connection: AsyncConnection, environment: str) -> tuple[Feature, ...]:
    """Return the environment's features, in the order of their keys."""
    return tuple(feature.value for feature in await describe_features(connection, environment))


async def describe_features(
    connection: AsyncConnection, environment: str, *, after: str = "", limit: int | None = None
) -> tuple[Described[Feature], ...]:
    """Return features with their descriptions, in the order of their keys: all, or `limit` of those after `after`."""
    mine = (features.c.environment == environment) & (features.c.key > after)
    query = select(features).where(mine).order_by(features.c.key).limit(limit)
    return tuple(_feature(row) for row in await connection.execute(query))


async def find_features(
    connection: AsyncConnection, environment: str, keys: Collection[str]
) -> dict[str, Described[Feature]]:
    """Return those of the features that there are, by key."""
    query = select(features).where(features.c.environment == environment, features.c.key.in_(keys))
    return {row.key: _feature(row) for row in await connection.execute(query)}


async def find_feature(connection: AsyncConnection, environment: str, key: str) -> Described[Feature] | None:
    """Return the feature; None if there is none of this key."""
    return (await find_features(connection, environment, [key])).get(key)


async def read_feature(connection: AsyncConnection, environment: str, key: str) -> Described[Feature]:
    """Return the feature.

    Raises:
        NotFoundError: there is none of this key.
    """
    found = await find_feature(connection, environment, key)
    if found is None:
        raise NotFoundError(f"there is no feature {key!r:.100}; PUT /v1/features/{{key}} defines it")
    return found


async def list_metrics(connection: AsyncConnection, environment: str) -> tuple[Metric, ...]:
    """Return the environment's metrics, in the order of their keys."""
    return tuple(metric.value for metric in await describe_metrics(connection, environment))


async def describe_metrics(
    connection: AsyncConnection, environment: str, *, after: str = "", limit: int | None = None
) -> tuple[Described[Metric], ...]:
    """Return metrics with their descriptions, in the order of their keys: all, or `limit` of those after `after`."""
    mine = (metrics.c.environment == environment) & (metrics.c.key > after)
    query = select(metrics).where(mine).order_by(metrics.c.key).limit(limit)
    return tuple(_metric(row) for row in await connection.execute(query))


async def find_metric(connection: AsyncConnection, environment: str, key: str) -> Described[Metric] | None:
    """Return the metric; None if there is none of this key."""
    query = select(metrics).where(metrics.c.environment == environment, metrics.c.key == key)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _metric(row)


async def read_metric(connection: AsyncConnection, environment: str, key: str) -> Described[Metric]:
    """Return the metric.

    Raises:
        NotFoundError: there is none of this key.
    """
    found = await find_metric(connection, environment, key)
    if found is None:
        raise NotFoundError(f"there is no metric {key!r:.100}; PUT /v1/metrics/{{key}} defines it")
    return found


async def list_plans(
    connection: AsyncConnection, environment: str, *, after: str = "", limit: int | None = None
) -> tuple[Plan, ...]:
    """Return plans in the order of their keys: all, or `limit` of those after `after`."""
    mine = (plans.c.environment == environment) & (plans.c.key > after)
    found = (await connection.execute(select(plans).where(mine).order_by(plans.c.key).limit(limit))).all()
    if limit is None:
        return await _plans(connection, environment, found)
    keys = [row.key for row in found]
    return await _plans(
        connection, environment, found, plan_versions.c.plan.in_(keys), plan_prices.c.plan.in_(keys)
    )


async def find_plan(connection: AsyncConnection, environment: str, key: str) -> Plan | None:
    """Return the plan; None if there is none of this key."""
    query = select(plans).where(plans.c.environment == environment, plans.c.key == key)
    found = (await connection.execute(query)).all()
    read = await _plans(
        connection, environment, found, plan_versions.c.plan == key, plan_prices.c.plan == key
    )
    return read[0] if read else None


async def read_plan(connection: AsyncConnection, environment: str, key: str) -> Plan:
    """Return the plan.

    Raises:
        NotFoundError: there is none of this key.
    """
    plan = await find_plan(connection, environment, key)
    if plan is None:
        raise NotFoundError(f"there is no plan {key!r:.100}; PUT /v1/plans/{{key}} makes it")
    return plan


async def match_prices(
    connection: AsyncConnection, environment: str, prices: Collection[str] | None = None
) -> dict[str, MatchedPrice]:
    """Return what each price sells now: the newest published version of its plan. Of all prices if None."""
    query = (
        select(
            plan_prices.c.price,
            plan_prices.c.plan,
            plan_prices.c.metric,
            func.max(plan_versions.c.version).label("version"),
        )
        .join(
            plan_versions,
            and_(
                plan_versions.c.environment == plan_prices.c.environment,
                plan_versions.c.plan == plan_prices.c.plan,
                plan_versions.c.published_at.is_not(None),
            ),
        )
        .where(plan_prices.c.environment == environment)
        .group_by(plan_prices.c.price, plan_prices.c.plan, plan_prices.c.metric)
    )
    if prices is not None:
        query = query.where(plan_prices.c.price.in_(prices))
    return {
        row.price: MatchedPrice(plan_version_id(row.plan, row.version), row.metric)
        for row in await connection.execute(query)
    }


async def _plans(
    connection: AsyncConnection, environment: str, found: Sequence[Row[Any]], *only: Any
) -> tuple[Plan, ...]:
    """Return these plans with the versions and prices of the environment that `only` lets through."""
    of_versions, of_prices = only or (True, True)
    versions: dict[str, list[Row[Any]]] = {}
    for row in await connection.execute(
        select(plan_versions)
        .where(plan_versions.c.environment == environment, of_versions)
        .order_by(plan_versions.c.version)
    ):
        versions.setdefault(row.plan, []).append(row)
    prices: dict[str, list[PlanPrice]] = {}
    for row in await connection.execute(
        select(plan_prices)
        .where(plan_prices.c.environment == environment, of_prices)
        .order_by(plan_prices.c.price)
    ):
        prices.setdefault(row.plan, []).append(PlanPrice(row.price, row.metric))
    return tuple(_plan(row, versions.get(row.key, []), prices.get(row.key, [])) for row in found)


def _plan(row: Row[Any], versions: list[Row[Any]], prices: list[PlanPrice]) -> Plan:
    drafts = [_grants.decode(version.grants) for version in versions if version.published_at is None]
    return Plan(
        key=row.key,
        name=row.name,
        kind=row.kind,
        prices=tuple(prices),
        draft=drafts[0] if drafts else None,
        versions=tuple(
            PublishedVersion(
                version.version, _grants.decode(version.grants), version.published_at, version.replaced_by
            )
            for version in versions
            if version.published_at is not None
        ),
        description=row.description,
        policy=None if row.policy is None else decode(row.policy, StatusPolicy),
        archived_at=row.archived_at,
    )


def _feature(row: Row[Any]) -> Described[Feature]:
    feature = Feature(
        key=row.key,
        kind=row.kind,
        name=row.name,
        merge=row.merge,
        metric=row.metric,
        reset=row.reset,
        enforcement=row.enforcement,
    )
    return Described(feature, row.description, row.archived_at)


def _metric(row: Row[Any]) -> Described[Metric]:
    metric = Metric(key=row.key, name=row.name, unit=row.unit, aggregation=row.aggregation)
    return Described(metric, row.description, row.archived_at)
