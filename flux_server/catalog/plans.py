"""Plans: making, changing and archiving them, and which of them organizations have that bought none.

A plan's name, prices and policy change at once. Its grants become the draft of its next version, which
`publishing` publishes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Grant
from flux_server.catalog.errors import (
    ArchivedError,
    MalformedPlanError,
    PriceTakenError,
    key_error,
    require_room,
)
from flux_server.catalog.features import MAX_FEATURES
from flux_server.catalog.price_references import reference_error
from flux_server.catalog.reading import (
    Described,
    Plan,
    PlanPrice,
    find_features,
    find_metric,
    find_plan,
    read_plan,
)
from flux_server.catalog.tables import plan_prices, plan_versions, plans
from flux_server.catalog.values import MAX_PRICES, PLAN_KINDS, grant_misfit
from flux_server.database import insert
from flux_server.environments.environments import note_settings, read_environment
from flux_server.environments.history import note
from flux_server.environments.revisions import advance, lock
from flux_server.environments.tables import environments
from flux_server.errors import ConflictError, InvalidRequestError

__all__ = [
    "MAX_PLANS",
    "PlanDraft",
    "archive_plan",
    "next_version",
    "note_plan",
    "require_well_formed",
    "save_plan",
    "set_default_plan",
]

MAX_PLANS = 1_000


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """A plan as its editor wants it: its prices at once, its grants in the next version to be published."""

    key: str
    name: str = ""
    kind: str = "base"
    prices: tuple[PlanPrice, ...] = ()
    grants: tuple[Grant, ...] = ()
    description: str = ""


async def save_plan(connection: AsyncConnection, environment: str, draft: PlanDraft, now: float) -> Plan:
    """Make the plan, or change it: its name and prices at once, its grants as the draft of the next version.

    Grants equal to the newest published version's need no new version, so they leave no draft. New prices can
    match items that nothing matched before: call `organizations.catalog_changes.apply_prices` afterwards.

    Raises:
        MalformedPlanError: the plan contradicts itself or the catalog.
        PriceTakenError: another plan is sold by one of the prices.
        ArchivedError: the plan is archived.
        CatalogFullError: there are MAX_PLANS already.
    """
    await lock(connection, environment)
    await require_well_formed(connection, environment, draft)
    await _require_free_prices(connection, environment, draft)
    present = await find_plan(connection, environment, draft.key)
    if present is None:
        count = select(func.count()).select_from(plans).where(plans.c.environment == environment)
        require_room("plans", (await connection.execute(count)).scalar_one(), MAX_PLANS)
    else:
        _require_live(present)
        if present.versions and present.kind != draft.kind:
            raise ConflictError(
                f"plan {draft.key!r} is published as {present.kind!r}, which cannot change; make another plan"
            )
    values = {"name": draft.name or draft.key, "description": draft.description, "kind": draft.kind}
    await connection.execute(
        insert(connection, plans)
        .values(environment=environment, key=draft.key, **values)
        .on_conflict_do_update(index_elements=["environment", "key"], set_=values)
    )
    await _replace_prices(connection, environment, draft)
    await _replace_draft(connection, environment, draft, present)
    plan = await read_plan(connection, environment, draft.key)
    if plan != present:
        await note_plan(connection, environment, plan, now)
    return plan


async def archive_plan(
    connection: AsyncConnection, environment: str, key: str, now: float, *, archived: bool = True
) -> Plan:
    """Let the plan be changed and published no more; who has it, or still buys it, keeps it. Or take that back.

    Raises:
        ConflictError: it is the default plan.
    """
    await lock(connection, environment)
    plan = await read_plan(connection, environment, key)
    if archived == (plan.archived_at is not None):
        return plan
    if archived and (await read_environment(connection, environment)).default_plan == key:
        raise ConflictError(f"plan {key!r} is the default plan; choose another default plan first")
    mine = (plans.c.environment == environment) & (plans.c.key == key)
    await connection.execute(update(plans).where(mine).values(archived_at=int(now) if archived else None))
    plan = await read_plan(connection, environment, key)
    await note_plan(connection, environment, plan, now)
    return plan


async def set_default_plan(
    connection: AsyncConnection, environment: str, plan: str | None, now: float
) -> None:
    """Give organizations without a base plan what the newest version of `plan` grants; nothing if None."""
    await lock(connection, environment)
    if plan is not None:
        chosen = await read_plan(connection, environment, plan)
        _require_live(chosen)
        if chosen.kind != "base":
            raise InvalidRequestError(f"plan {plan!r} is an add-on; the default plan must be a base plan")
        if not chosen.versions:
            raise ConflictError(f"plan {plan!r} has no published version; publish it first")
    if (await read_environment(connection, environment)).default_plan == plan:
        return
    await connection.execute(
        update(environments).where(environments.c.key == environment).values(default_plan=plan)
    )
    await note_settings(connection, environment, now)
    await advance(connection, environment, kind="catalog", now=now)


async def require_well_formed(connection: AsyncConnection, environment: str, draft: PlanDraft) -> None:
    """Refuse a plan that contradicts itself or the catalog, with everything that is wrong with it.

    Raises:
        MalformedPlanError: it does.
    """
    wrong = [error for error in (key_error(draft.key),) if error]
    if draft.kind not in PLAN_KINDS:
        wrong.append(f"a plan's kind is 'base' or 'addon', not {draft.kind!r:.50}")
    wrong += await _grant_errors(connection, environment, draft.grants)
    wrong += await _price_errors(connection, environment, draft)
    if wrong:
        raise MalformedPlanError(f"plan {draft.key!r:.100}: " + "; ".join(wrong), errors=wrong)


async def note_plan(connection: AsyncConnection, environment: str, plan: Plan, now: float) -> None:
    """Note in the history how the plan stands from now on."""
    await note(connection, environment, "plan", plan.key, plan, now)


def next_version(plan: Plan | None) -> int:
    """Return the number of the plan's next version."""
    return plan.versions[-1].version + 1 if plan and plan.versions else 1


def _require_live(plan: Plan) -> None:
    if plan.archived_at is not None:
        raise ArchivedError(f"plan {plan.key!r} is archived; restore it first")


async def _grant_errors(
    connection: AsyncConnection, environment: str, grants: tuple[Grant, ...]
) -> list[str]:
    named = [grant.feature for grant in grants]
    if len(named) > MAX_FEATURES:
        return [f"a plan grants at most {MAX_FEATURES:,} features, not {len(named):,}"]
    known = await find_features(connection, environment, named)
    wrong = _doubles("feature", named)
    for grant in grants:
        error = _grant_error(known.get(grant.feature), grant)
        if error:
            wrong.append(error)
    return wrong


def _grant_error(described: Described[Feature] | None, grant: Grant) -> str | None:
    if described is None:
        return f"there is no feature {grant.feature!r:.100}; define it first"
    if described.archived_at is not None:
        return f"feature {grant.feature!r} is archived; restore it, or leave it out"
    return grant_misfit(described.value, grant)


async def _price_errors(connection: AsyncConnection, environment: str, draft: PlanDraft) -> list[str]:
    if len(draft.prices) > MAX_PRICES:
        return [f"a plan is sold by at most {MAX_PRICES} prices, not {len(draft.prices)}"]
    wrong = _doubles("price", [price.price for price in draft.prices])
    sold = await connection.execute(
        select(plan_prices.c.price, plan_prices.c.metric).where(
            plan_prices.c.environment == environment, plan_prices.c.plan == draft.key
        )
    )
    present = {PlanPrice(price, metric) for price, metric in sold}
    for price in draft.prices:
        error = None if price in present else await _price_error(connection, environment, price)
        if error:
            wrong.append(error)
    return wrong


async def _price_error(connection: AsyncConnection, environment: str, price: PlanPrice) -> str | None:
    if error := reference_error(price.price):
        return error
    if price.metric is None:
        return None
    metric = await find_metric(connection, environment, price.metric)
    if metric is None:
        return f"price {price.price!r:.100}: there is no metric {price.metric!r:.100}; define it first"
    if metric.archived_at is not None:
        return f"price {price.price!r:.100}: metric {price.metric!r} is archived; restore it first"
    return None


def _doubles(what: str, names: list[str]) -> list[str]:
    doubles = sorted(name for name, count in Counter(names).items() if count > 1)
    return [f"{what} {name!r:.100} is named twice" for name in doubles]


async def _require_free_prices(connection: AsyncConnection, environment: str, draft: PlanDraft) -> None:
    taken = await connection.execute(
        select(plan_prices.c.price, plan_prices.c.plan)
        .where(
            plan_prices.c.environment == environment,
            plan_prices.c.price.in_([price.price for price in draft.prices]),
            plan_prices.c.plan != draft.key,
        )
        .order_by(plan_prices.c.price)
    )
    for price, plan in taken:
        raise PriceTakenError(
            f"price {price!r} belongs to plan {plan!r}; take it from that plan first", price=price, plan=plan
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
            version=next_version(present),
            grants=msgspec.json.encode(grants).decode(),
        )
    )
