"""What an environment sells: the catalog that workers receive, and plans as their editors see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Catalog, Feature, Grant, Metric, PlanVersion, plan_version_id
from flux_server.catalog.tables import features, metrics, plan_prices, plan_versions, plans
from flux_server.environments.environments import read_environment
from flux_server.errors import NotFoundError

__all__ = [
    "MatchedPrice",
    "Plan",
    "PlanPrice",
    "PublishedVersion",
    "list_features",
    "list_metrics",
    "list_plans",
    "match_price",
    "read_catalog",
    "read_feature",
    "read_metric",
    "read_plan",
]

_grants = msgspec.json.Decoder(tuple[Grant, ...])


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
    """A plan with its published versions, oldest first, and the draft of the next one, if there is one."""

    key: str
    name: str
    kind: Literal["base", "addon"]
    prices: tuple[PlanPrice, ...]
    draft: tuple[Grant, ...] | None
    versions: tuple[PublishedVersion, ...]


@dataclass(frozen=True, slots=True)
class MatchedPrice:
    """The plan version (its id) that a price sells today, and the metric the price bills if it is metered."""

    plan_version: str
    metric: str | None


async def read_catalog(connection: AsyncConnection, environment: str) -> Catalog:
    """Return the catalog as workers receive it: published versions only."""
    settings = await read_environment(connection, environment)
    rows = await connection.execute(
        select(plan_versions, plans.c.kind)
        .join(plans, _same_plan)
        .where(plan_versions.c.environment == environment, plan_versions.c.published_at.is_not(None))
        .order_by(plan_versions.c.plan, plan_versions.c.version)
    )
    versions = tuple(_plan_version(row) for row in rows)
    # The newest version of each plan comes last, so it is the one that stays.
    newest = {version.plan: version.id for version in versions}
    return Catalog(
        features=await list_features(connection, environment),
        metrics=await list_metrics(connection, environment),
        plan_versions=versions,
        default_plan=newest.get(settings.default_plan or ""),
        policy=settings.policy,
    )


async def list_features(connection: AsyncConnection, environment: str) -> tuple[Feature, ...]:
    """Return the environment's features, in the order of their keys."""
    query = select(features).where(features.c.environment == environment).order_by(features.c.key)
    return tuple(_feature(row) for row in await connection.execute(query))


async def read_feature(connection: AsyncConnection, environment: str, key: str) -> Feature:
    """Return the feature.

    Raises:
        NotFoundError: there is none of this key.
    """
    query = select(features).where(features.c.environment == environment, features.c.key == key)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no feature {key!r:.100}; PUT /v1/features/{{key}} defines it")
    return _feature(row)


async def list_metrics(connection: AsyncConnection, environment: str) -> tuple[Metric, ...]:
    """Return the environment's metrics, in the order of their keys."""
    query = select(metrics).where(metrics.c.environment == environment).order_by(metrics.c.key)
    return tuple(_metric(row) for row in await connection.execute(query))


async def read_metric(connection: AsyncConnection, environment: str, key: str) -> Metric:
    """Return the metric.

    Raises:
        NotFoundError: there is none of this key.
    """
    query = select(metrics).where(metrics.c.environment == environment, metrics.c.key == key)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no metric {key!r:.100}; PUT /v1/metrics/{{key}} defines it")
    return _metric(row)


async def list_plans(connection: AsyncConnection, environment: str) -> tuple[Plan, ...]:
    """Return the environment's plans, in the order of their keys."""
    query = select(plans).where(plans.c.environment == environment).order_by(plans.c.key)
    return await _plans(connection, environment, query)


async def read_plan(connection: AsyncConnection, environment: str, key: str) -> Plan:
    """Return the plan.

    Raises:
        NotFoundError: there is none of this key.
    """
    query = select(plans).where(plans.c.environment == environment, plans.c.key == key)
    found = await _plans(
        connection, environment, query, plan_versions.c.plan == key, plan_prices.c.plan == key
    )
    if not found:
        raise NotFoundError(f"there is no plan {key!r:.100}; PUT /v1/plans/{{key}} makes it")
    return found[0]


async def match_price(connection: AsyncConnection, environment: str, price: str) -> MatchedPrice | None:
    """Return what the price sells now: the newest published version of its plan; None if nothing sells by it."""
    query = (
        select(plan_prices.c.plan, plan_prices.c.metric, func.max(plan_versions.c.version).label("version"))
        .join(
            plan_versions,
            and_(
                plan_versions.c.environment == plan_prices.c.environment,
                plan_versions.c.plan == plan_prices.c.plan,
                plan_versions.c.published_at.is_not(None),
            ),
        )
        .where(plan_prices.c.environment == environment, plan_prices.c.price == price)
        .group_by(plan_prices.c.plan, plan_prices.c.metric)
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else MatchedPrice(plan_version_id(row.plan, row.version), row.metric)


_same_plan = and_(plans.c.environment == plan_versions.c.environment, plans.c.key == plan_versions.c.plan)


async def _plans(
    connection: AsyncConnection, environment: str, query: Select[Any], *only: Any
) -> tuple[Plan, ...]:
    """Read the plans of `query`, with the versions and prices of the environment that `only` lets through."""
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
    return tuple(
        _plan(row, versions.get(row.key, []), prices.get(row.key, []))
        for row in await connection.execute(query)
    )


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
    )


def _plan_version(row: Row[Any]) -> PlanVersion:
    return PlanVersion(
        id=plan_version_id(row.plan, row.version),
        plan=row.plan,
        version=row.version,
        kind=row.kind,
        grants=_grants.decode(row.grants),
        replaced_by=None if row.replaced_by is None else plan_version_id(row.plan, row.replaced_by),
    )


def _feature(row: Row[Any]) -> Feature:
    return Feature(
        key=row.key, kind=row.kind, name=row.name, merge=row.merge, metric=row.metric, reset=row.reset
    )


def _metric(row: Row[Any]) -> Metric:
    return Metric(key=row.key, name=row.name, unit=row.unit, aggregation=row.aggregation)
