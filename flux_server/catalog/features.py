"""Features and metrics: defining, changing and archiving them.

Followers see features and metrics but not their descriptions, nor whether they are archived, so only what they
see takes a revision.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
from sqlalchemy import Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Metric, plan_version_id
from flux_server.catalog.errors import ArchivedError, InvalidCatalogError, key_error, require_room
from flux_server.catalog.reading import (
    Described,
    find_feature,
    find_metric,
    list_plans,
    read_feature,
    read_metric,
)
from flux_server.catalog.tables import features, metrics
from flux_server.catalog.values import AGGREGATIONS, feature_contradiction
from flux_server.database import insert
from flux_server.environments.history import note
from flux_server.environments.revisions import advance, lock
from flux_server.errors import ConflictError

__all__ = [
    "MAX_FEATURES",
    "MAX_METRICS",
    "archive_feature",
    "archive_metric",
    "save_feature",
    "save_metric",
]

MAX_FEATURES = 10_000
MAX_METRICS = 1_000


async def save_feature(
    connection: AsyncConnection, environment: str, feature: Feature, now: float, *, description: str = ""
) -> None:
    """Define the feature, or change it.

    Raises:
        InvalidCatalogError: the feature contradicts itself or the catalog.
        ArchivedError: the feature is archived.
        CatalogFullError: there are MAX_FEATURES already.
    """
    await lock(connection, environment)
    if feature.kind == "boolean":
        feature = msgspec.structs.replace(feature, merge="any")
    present = await find_feature(connection, environment, feature.key)
    if present is not None and (present.value, present.description) == (feature, description):
        return
    wrong = key_error(feature.key) or await _feature_error(connection, environment, feature, present)
    if wrong:
        raise InvalidCatalogError(wrong)
    _require_live("feature", feature.key, present)
    if present is None:
        require_room("features", await _count(connection, features, environment), MAX_FEATURES)
    elif present.value.kind != feature.kind:
        await _require_unused(connection, environment, present.value)
    seen = present is None or present.value != feature
    await _save(connection, environment, Described(feature, description), now, seen=seen)


async def save_metric(
    connection: AsyncConnection, environment: str, metric: Metric, now: float, *, description: str = ""
) -> None:
    """Define the metric, or change it.

    Raises:
        InvalidCatalogError: the metric contradicts itself.
        ArchivedError: the metric is archived.
        CatalogFullError: there are MAX_METRICS already.
    """
    await lock(connection, environment)
    present = await find_metric(connection, environment, metric.key)
    if present is not None and (present.value, present.description) == (metric, description):
        return
    wrong = key_error(metric.key)
    if metric.aggregation not in AGGREGATIONS:
        wrong = f"an aggregation is one of {', '.join(AGGREGATIONS)}, not {metric.aggregation!r:.50}"
    if wrong:
        raise InvalidCatalogError(wrong)
    _require_live("metric", metric.key, present)
    if present is None:
        require_room("metrics", await _count(connection, metrics, environment), MAX_METRICS)
    seen = present is None or present.value != metric
    await _save(connection, environment, Described(metric, description), now, seen=seen)


async def archive_feature(
    connection: AsyncConnection, environment: str, key: str, now: float, *, archived: bool = True
) -> None:
    """Let no new plan version grant the feature; versions that do so go on. Or take that back."""
    await lock(connection, environment)
    await _archive(connection, environment, await read_feature(connection, environment, key), now, archived)


async def archive_metric(
    connection: AsyncConnection, environment: str, key: str, now: float, *, archived: bool = True
) -> None:
    """Let no new limit or price use the metric; its usage is still counted. Or take that back."""
    await lock(connection, environment)
    await _archive(connection, environment, await read_metric(connection, environment, key), now, archived)


async def _feature_error(
    connection: AsyncConnection, environment: str, feature: Feature, present: Described[Feature] | None
) -> str | None:
    if wrong := feature_contradiction(feature):
        return wrong
    if feature.metric is None or (present is not None and present.value.metric == feature.metric):
        return None
    metric = await find_metric(connection, environment, feature.metric)
    if metric is None:
        return f"there is no metric {feature.metric!r:.100}; define it first, or leave `metric` out"
    if metric.archived_at is not None:
        return f"metric {feature.metric!r} is archived; restore it, or leave `metric` out"
    return None


def _require_live(what: str, key: str, present: Described[Feature] | Described[Metric] | None) -> None:
    if present is not None and present.archived_at is not None:
        raise ArchivedError(f"{what} {key!r} is archived; restore it before you change it")


async def _require_unused(connection: AsyncConnection, environment: str, feature: Feature) -> None:
    """A published version never changes, so what its values mean must not change either."""
    for plan in await list_plans(connection, environment):
        for version in plan.versions:
            if any(grant.feature == feature.key for grant in version.grants):
                raise ConflictError(
                    f"feature {feature.key!r} is granted by {plan_version_id(plan.key, version.version)} as "
                    f"{feature.kind}, so its kind cannot change; define another feature"
                )


async def _count(connection: AsyncConnection, table: Table, environment: str) -> int:
    query = select(func.count()).select_from(table).where(table.c.environment == environment)
    return int((await connection.execute(query)).scalar_one())


async def _save(
    connection: AsyncConnection,
    environment: str,
    described: Described[Feature] | Described[Metric],
    now: float,
    *,
    seen: bool,
) -> None:
    table = features if isinstance(described.value, Feature) else metrics
    values = msgspec.structs.asdict(described.value) | {"description": described.description}
    changed = {name: value for name, value in values.items() if name != "key"}
    await connection.execute(
        insert(connection, table)
        .values(environment=environment, **values)
        .on_conflict_do_update(index_elements=["environment", "key"], set_=changed)
    )
    await _note(connection, environment, described, now)
    if seen:
        await advance(connection, environment, kind="catalog", now=now)


async def _archive(
    connection: AsyncConnection,
    environment: str,
    described: Described[Feature] | Described[Metric],
    now: float,
    archived: bool,
) -> None:
    if archived == (described.archived_at is not None):
        return
    archived_at = int(now) if archived else None
    table = features if isinstance(described.value, Feature) else metrics
    mine = (table.c.environment == environment) & (table.c.key == described.value.key)
    await connection.execute(update(table).where(mine).values(archived_at=archived_at))
    await _note(connection, environment, replace(described, archived_at=archived_at), now)


async def _note(
    connection: AsyncConnection,
    environment: str,
    described: Described[Feature] | Described[Metric],
    now: float,
) -> None:
    state = msgspec.structs.asdict(described.value)
    state |= {"description": described.description, "archived_at": described.archived_at}
    kind = "feature" if isinstance(described.value, Feature) else "metric"
    await note(connection, environment, kind, described.value.key, state, now)  # type: ignore[arg-type]
