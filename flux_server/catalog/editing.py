"""Edits of the catalog. Each is checked whole before anything is written, and says what to do when it is refused.

Followers see features, metrics, the default plan and *published* versions, so only changes of those take a
revision; names, prices and drafts do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Table, delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.errors import InvalidRecordError
from flux_middleware.snapshot import Feature, Grant, Metric, PlanVersion, plan_version_id, require_key
from flux_server.catalog.reading import (
    Plan,
    PlanPrice,
    list_features,
    list_metrics,
    list_plans,
    read_catalog,
    read_plan,
)
from flux_server.catalog.tables import features, metrics, plan_prices, plan_versions, plans
from flux_server.catalog.values import misfit
from flux_server.database import insert
from flux_server.environments.environments import read_environment
from flux_server.environments.revisions import advance, lock
from flux_server.environments.tables import environments
from flux_server.errors import ConflictError, InvalidRequestError

__all__ = [
    "InvalidCatalogError",
    "MalformedPlanError",
    "NothingToPublishError",
    "PlanDraft",
    "PriceTakenError",
    "publish_plan",
    "save_feature",
    "save_metric",
    "save_plan",
    "set_default_plan",
]


class InvalidCatalogError(InvalidRequestError):
    """A feature or a metric contradicts itself or the catalog."""

    code = "invalid_catalog"
    title = "Invalid catalog"


class MalformedPlanError(InvalidRequestError):
    """A plan contradicts itself or the catalog; `errors` lists everything that is wrong with it."""

    code = "malformed_plan"
    title = "Malformed plan"


class PriceTakenError(ConflictError):
    """A price belongs to one plan only."""

    code = "price_taken"
    title = "Price taken"


class NothingToPublishError(ConflictError):
    """The plan has no draft."""

    code = "nothing_to_publish"
    title = "Nothing to publish"


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """A plan as its editor wants it: its prices at once, its grants in the next version to be published."""

    key: str
    name: str = ""
    kind: Literal["base", "addon"] = "base"
    prices: tuple[PlanPrice, ...] = ()
    grants: tuple[Grant, ...] = ()


async def save_feature(connection: AsyncConnection, environment: str, feature: Feature, now: float) -> None:
    """Define the feature, or change it."""
    await lock(connection, environment)
    if feature.kind == "boolean":
        feature = msgspec.structs.replace(feature, merge="any")
    known = {known.key: known for known in await list_features(connection, environment)}
    if known.get(feature.key) == feature:
        return
    wrong = _key_error(feature.key) or await _feature_error(connection, environment, feature)
    if wrong:
        raise InvalidCatalogError(wrong)
    if feature.key in known and known[feature.key].kind != feature.kind:
        await _require_unused(connection, environment, known[feature.key])
    await _save(connection, features, environment, msgspec.structs.asdict(feature))
    await advance(connection, environment, kind="catalog", now=now)


async def save_metric(connection: AsyncConnection, environment: str, metric: Metric, now: float) -> None:
    """Define the metric, or change it."""
    await lock(connection, environment)
    if metric in await list_metrics(connection, environment):
        return
    wrong = _key_error(metric.key)
    if wrong:
        raise InvalidCatalogError(wrong)
    await _save(connection, metrics, environment, msgspec.structs.asdict(metric))
    await advance(connection, environment, kind="catalog", now=now)


async def save_plan(
    connection: AsyncConnection,
    environment: str,
    draft: PlanDraft,
    now: float,  # noqa: ARG001  every edit is told when it happens; a draft only has nothing to date
) -> Plan:
    """Make the plan, or change it: its name and prices at once, its grants as the draft of the next version.

    Grants equal to the newest published version's need no new version, so they leave no draft. New prices can
    match items that nothing matched before: call `organizations.catalog_changes.apply_prices` afterwards.

    Raises:
        MalformedPlanError: the plan contradicts itself or the catalog.
        PriceTakenError: another plan is sold by one of the prices.
    """
    await lock(connection, environment)
    await _require_well_formed(connection, environment, draft)
    others = {plan.key: plan for plan in await list_plans(connection, environment)}
    present = others.pop(draft.key, None)
    _require_free_prices(draft, others.values())
    if present and present.versions and present.kind != draft.kind:
        raise ConflictError(
            f"plan {draft.key!r} is published as {present.kind!r}, which cannot change; make another plan"
        )
    await _save(
        connection,
        plans,
        environment,
        {"key": draft.key, "name": draft.name or draft.key, "kind": draft.kind},
    )
    await _replace_prices(connection, environment, draft)
    await _replace_draft(connection, environment, draft, present)
    return await read_plan(connection, environment, draft.key)


async def publish_plan(
    connection: AsyncConnection, environment: str, plan: str, *, existing: str, now: float
) -> PlanVersion:
    """Publish the plan's draft as its next version; return it.

    `existing` subscribers `stay` on the version they have or `migrate` to this one, which is one change for
    followers however many they are. A first version makes the plan's prices match: call
    `organizations.catalog_changes.apply_prices` afterwards.

    Raises:
        NothingToPublishError: the plan has no draft.
    """
    if existing not in ("stay", "migrate"):
        raise InvalidRequestError(f"existing subscribers 'stay' or 'migrate', not {existing!r:.50}")
    await lock(connection, environment)
    present = await read_plan(connection, environment, plan)
    if present.draft is None:
        raise NothingToPublishError(
            f"plan {plan!r} has no draft: every change to its grants is published; save other grants first"
        )
    # The catalog may have moved on since the draft was saved.
    await _require_well_formed(
        connection, environment, PlanDraft(plan, present.name, present.kind, present.prices, present.draft)
    )
    version = _next_version(present)
    mine = (plan_versions.c.environment == environment) & (plan_versions.c.plan == plan)
    if existing == "migrate":
        unreplaced = plan_versions.c.published_at.is_not(None) & plan_versions.c.replaced_by.is_(None)
        await connection.execute(update(plan_versions).where(mine, unreplaced).values(replaced_by=version))
    await connection.execute(
        update(plan_versions).where(mine, plan_versions.c.version == version).values(published_at=int(now))
    )
    await advance(connection, environment, kind="catalog", now=now)
    catalog = await read_catalog(connection, environment)
    return catalog.plan_version_by_id[plan_version_id(plan, version)]


async def set_default_plan(
    connection: AsyncConnection, environment: str, plan: str | None, now: float
) -> None:
    """Give organizations without a base plan what the newest version of `plan` grants; nothing if None."""
    await lock(connection, environment)
    if plan is not None:
        chosen = await read_plan(connection, environment, plan)
        if chosen.kind != "base":
            raise InvalidRequestError(f"plan {plan!r} is an add-on; the default plan must be a base plan")
        if not chosen.versions:
            raise ConflictError(f"plan {plan!r} has no published version; publish it first")
    if (await read_environment(connection, environment)).default_plan == plan:
        return
    await connection.execute(
        update(environments).where(environments.c.key == environment).values(default_plan=plan)
    )
    await advance(connection, environment, kind="catalog", now=now)


def _key_error(key: str) -> str | None:
    try:
        require_key(key)
    except InvalidRecordError as error:
        return str(error)
    return None


async def _feature_error(connection: AsyncConnection, environment: str, feature: Feature) -> str | None:
    if feature.kind == "boolean":
        if feature.metric is not None:
            return f"{feature.key!r} is boolean; only a limit can be used up by a metric"
        return None
    if feature.merge == "any":
        return f"{feature.key!r} is a limit; its merge is one of base_plus_addons, sum, max, min"
    known = {metric.key for metric in await list_metrics(connection, environment)}
    if feature.metric is not None and feature.metric not in known:
        return f"there is no metric {feature.metric!r}; define it first, or leave `metric` out"
    return None


async def _require_unused(connection: AsyncConnection, environment: str, feature: Feature) -> None:
    """A published version never changes, so what its values mean must not change either."""
    for plan in await list_plans(connection, environment):
        for version in plan.versions:
            if any(grant.feature == feature.key for grant in version.grants):
                raise ConflictError(
                    f"feature {feature.key!r} is granted by {plan_version_id(plan.key, version.version)} as "
                    f"{feature.kind}, so its kind cannot change; define another feature"
                )


async def _require_well_formed(connection: AsyncConnection, environment: str, draft: PlanDraft) -> None:
    known_features = {feature.key: feature for feature in await list_features(connection, environment)}
    known_metrics = {metric.key for metric in await list_metrics(connection, environment)}
    wrong = [error for error in (_key_error(draft.key),) if error]
    if draft.kind not in ("base", "addon"):
        wrong.append(f"a plan's kind is 'base' or 'addon', not {draft.kind!r:.50}")
    wrong += _grant_errors(known_features, draft.grants)
    for price in draft.prices:
        if not 1 <= len(price.price) <= 255:
            wrong.append(f"a price has 1 to 255 characters, not {price.price!r:.50}")
        if price.metric is not None and price.metric not in known_metrics:
            wrong.append(
                f"price {price.price!r:.100}: there is no metric {price.metric!r:.100}; define it first"
            )
    wrong += _doubles("price", [price.price for price in draft.prices])
    if wrong:
        raise MalformedPlanError(f"plan {draft.key!r:.100}: " + "; ".join(wrong), errors=wrong)


def _grant_errors(known: dict[str, Feature], grants: tuple[Grant, ...]) -> list[str]:
    wrong = _doubles("feature", [grant.feature for grant in grants])
    for grant in grants:
        feature = known.get(grant.feature)
        if feature is None:
            wrong.append(f"there is no feature {grant.feature!r:.100}; define it first")
            continue
        error = misfit(feature, grant.value)
        if error:
            wrong.append(error)
        elif grant.per_unit and isinstance(grant.value, bool):
            wrong.append(f"{grant.feature!r} is boolean, so it cannot be granted per unit")
    return wrong


def _doubles(what: str, names: list[str]) -> list[str]:
    return [
        f"{what} {name!r:.100} is named twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]


def _require_free_prices(draft: PlanDraft, others: Any) -> None:
    owner = {price.price: plan.key for plan in others for price in plan.prices}
    for price in draft.prices:
        if price.price in owner:
            raise PriceTakenError(
                f"price {price.price!r} belongs to plan {owner[price.price]!r}; take it from that plan first",
                price=price.price,
                plan=owner[price.price],
            )


async def _save(
    connection: AsyncConnection, table: Table, environment: str, values: dict[str, object]
) -> None:
    values = {name: value for name, value in values.items() if name in table.c}
    statement = insert(connection, table).values(environment=environment, **values)
    changed = {name: value for name, value in values.items() if name != "key"}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["environment", "key"], set_=changed)
    )


async def _replace_prices(connection: AsyncConnection, environment: str, draft: PlanDraft) -> None:
    mine = (plan_prices.c.environment == environment) & (plan_prices.c.plan == draft.key)
    await connection.execute(delete(plan_prices).where(mine))
    rows = [
        {"environment": environment, "plan": draft.key, "price": price.price, "metric": price.metric}
        for price in draft.prices
    ]
    if rows:
        await connection.execute(insert(connection, plan_prices), rows)


async def _replace_draft(
    connection: AsyncConnection, environment: str, draft: PlanDraft, present: Plan | None
) -> None:
    mine = (plan_versions.c.environment == environment) & (plan_versions.c.plan == draft.key)
    await connection.execute(delete(plan_versions).where(mine, plan_versions.c.published_at.is_(None)))
    grants = tuple(sorted(draft.grants, key=lambda grant: grant.feature))
    if present and present.versions and present.versions[-1].grants == grants:
        return
    await connection.execute(
        insert(connection, plan_versions).values(
            environment=environment,
            plan=draft.key,
            version=_next_version(present),
            grants=msgspec.json.encode(grants).decode(),
        )
    )


def _next_version(plan: Plan | None) -> int:
    return plan.versions[-1].version + 1 if plan and plan.versions else 1
