"""The whole catalog as it is stored, archived things included: read at once, and changed at once.

Whoever changes one thing does so in `features`, `plans`, `publishing` or `policies`. Here is how a new state takes
the place of the present one in a few statements, however much of it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, bindparam, delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Catalog, Feature, Grant, Metric, StatusPolicy, encode
from flux_server.catalog.plans import next_version
from flux_server.catalog.reading import (
    Described,
    Plan,
    catalog_of,
    describe_features,
    describe_metrics,
    list_plans,
)
from flux_server.catalog.tables import features, metrics, plan_prices, plan_versions, plans
from flux_server.database import insert
from flux_server.environments.environments import note_settings, read_environment
from flux_server.environments.history import note_all
from flux_server.environments.revisions import advance
from flux_server.environments.tables import environments

__all__ = ["CatalogState", "read_state", "replace_state"]

T = TypeVar("T")

_encode = msgspec.json.Encoder(order="deterministic").encode

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CatalogState:
    """Everything in an environment's catalog, by key."""

    metrics: Mapping[str, Described[Metric]]
    features: Mapping[str, Described[Feature]]
    plans: Mapping[str, Plan]
    default_plan: str | None
    policy: StatusPolicy

    def wire(self) -> Catalog:
        """Return what workers see of it."""
        return catalog_of(
            tuple(feature.value for _, feature in sorted(self.features.items())),
            tuple(metric.value for _, metric in sorted(self.metrics.items())),
            tuple(plan for _, plan in sorted(self.plans.items())),
            default_plan=self.default_plan,
            policy=self.policy,
        )


async def read_state(connection: AsyncConnection, environment: str) -> CatalogState:
    """Return the environment's catalog as it is stored."""
    settings = await read_environment(connection, environment)
    return CatalogState(
        metrics={metric.value.key: metric for metric in await describe_metrics(connection, environment)},
        features={feature.value.key: feature for feature in await describe_features(connection, environment)},
        plans={plan.key: plan for plan in await list_plans(connection, environment)},
        default_plan=settings.default_plan,
        policy=settings.policy,
    )


async def replace_state(
    connection: AsyncConnection, environment: str, before: CatalogState, after: CatalogState, now: float
) -> None:
    """Store `after` in place of `before`, which was read under the environment's lock; nothing in it may be gone.

    Followers learn of it as one change, if there is anything in it that they see.
    """
    changed_metrics = _changed(before.metrics, after.metrics)
    changed_features = _changed(before.features, after.features)
    changed_plans = _changed(before.plans, after.plans)
    await _upsert(connection, metrics, [_row(environment, metric) for metric in changed_metrics.values()])
    await _upsert(connection, features, [_row(environment, feature) for feature in changed_features.values()])
    await _upsert(connection, plans, [_plan_row(environment, plan) for plan in changed_plans.values()])
    await _replace_prices(connection, environment, before, changed_plans)
    await _replace_versions(connection, environment, before, changed_plans)
    noted_metrics = {key: _noted(metric) for key, metric in changed_metrics.items()}
    noted_features = {key: _noted(feature) for key, feature in changed_features.items()}
    await note_all(connection, environment, "metric", noted_metrics, now)
    await note_all(connection, environment, "feature", noted_features, now)
    await note_all(connection, environment, "plan", changed_plans, now)
    await _replace_settings(connection, environment, before, after, now)
    if before.wire() != after.wire():
        await advance(connection, environment, kind="catalog", now=now)


def _changed(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, T]:
    return {key: value for key, value in after.items() if key not in before or not _same(before[key], value)}


def _same(before: object, after: object) -> bool:
    return before == after and _encode(before) == _encode(after)  # to Python, True == 1


def _row(environment: str, described: Described[Feature] | Described[Metric]) -> dict[str, Any]:
    return {"environment": environment, **_noted(described)}


def _noted(described: Described[Feature] | Described[Metric]) -> dict[str, Any]:
    own = {"description": described.description, "archived_at": described.archived_at}
    return msgspec.structs.asdict(described.value) | own


def _plan_row(environment: str, plan: Plan) -> dict[str, Any]:
    return {
        "environment": environment,
        "key": plan.key,
        "name": plan.name,
        "description": plan.description,
        "kind": plan.kind,
        "policy": None if plan.policy is None else encode(plan.policy).decode(),
        "archived_at": plan.archived_at,
    }


async def _upsert(connection: AsyncConnection, table: Table, rows: Rows) -> None:
    if not rows:
        return
    statement = insert(connection, table)
    own = {column.name for column in table.primary_key}
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name not in own}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), rows
    )


async def _replace_prices(
    connection: AsyncConnection, environment: str, before: CatalogState, changed: Mapping[str, Plan]
) -> None:
    """Take prices away from every plan first, so that they may move in any direction."""
    gone: Rows = []
    new: Rows = []
    for key, plan in changed.items():
        had = before.plans[key].prices if key in before.plans else ()
        gone += [{"gone": price.price} for price in set(had) - set(plan.prices)]
        new += [
            {"environment": environment, "price": price.price, "plan": key, "metric": price.metric}
            for price in plan.prices
            if price not in had
        ]
    if gone:
        mine = plan_prices.c.environment == environment
        await connection.execute(
            delete(plan_prices).where(mine, plan_prices.c.price == bindparam("gone")), gone
        )
    if new:
        await connection.execute(insert(connection, plan_prices), new)


async def _replace_versions(
    connection: AsyncConnection, environment: str, before: CatalogState, changed: Mapping[str, Plan]
) -> None:
    new: Rows = []
    for key, plan in changed.items():
        had = _version_rows(environment, before.plans[key]) if key in before.plans else []
        new += [row for row in _version_rows(environment, plan) if row not in had]
    await _upsert(connection, plan_versions, new)


def _version_rows(environment: str, plan: Plan) -> Rows:
    versions: list[tuple[int, tuple[Grant, ...], int | None, int | None]] = [
        (version.version, version.grants, version.published_at, version.replaced_by)
        for version in plan.versions
    ]
    if plan.draft is not None:
        versions.append((next_version(plan), plan.draft, None, None))
    return [
        {
            "environment": environment,
            "plan": plan.key,
            "version": version,
            "grants": msgspec.json.encode(grants).decode(),
            "published_at": published_at,
            "replaced_by": replaced_by,
        }
        for version, grants, published_at, replaced_by in versions
    ]


async def _replace_settings(
    connection: AsyncConnection, environment: str, before: CatalogState, after: CatalogState, now: float
) -> None:
    if (before.default_plan, before.policy) == (after.default_plan, after.policy):
        return
    values = {"default_plan": after.default_plan, "policy": encode(after.policy).decode()}
    await connection.execute(update(environments).where(environments.c.key == environment).values(values))
    await note_settings(connection, environment, now)
