"""Publishing: a plan's draft becomes its next version, which never changes again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Grant, PlanVersion, plan_version_id
from flux_server.catalog.errors import ArchivedError, NothingToPublishError
from flux_server.catalog.plans import PlanDraft, next_version, note_plan, require_well_formed
from flux_server.catalog.reading import Plan, read_plan
from flux_server.catalog.tables import plan_versions
from flux_server.environments.revisions import advance, lock
from flux_server.errors import InvalidRequestError

__all__ = ["GrantChange", "draft_changes", "publish_plan"]


@dataclass(frozen=True, slots=True)
class GrantChange:
    """What publishing changes of one feature; None where the feature is not granted."""

    feature: str
    before: Grant | None
    after: Grant | None


async def publish_plan(
    connection: AsyncConnection, environment: str, plan: str, *, existing: str, now: float
) -> PlanVersion:
    """Publish the plan's draft as its next version; return it.

    `existing` subscribers `stay` on the version they have or `migrate` to this one, which is one change for
    followers however many they are. A first version makes the plan's prices match: call
    `organizations.catalog_changes.apply_prices` afterwards.

    Raises:
        NothingToPublishError: the plan has no draft.
        ArchivedError: the plan is archived.
        MalformedPlanError: the catalog has moved on, and the draft does not fit it any more.
    """
    if existing not in ("stay", "migrate"):
        raise InvalidRequestError(f"existing subscribers 'stay' or 'migrate', not {existing!r:.50}")
    await lock(connection, environment)
    present = await read_plan(connection, environment, plan)
    await _require_publishable(connection, environment, present)
    version = next_version(present)
    mine = (plan_versions.c.environment == environment) & (plan_versions.c.plan == plan)
    if existing == "migrate":
        unreplaced = plan_versions.c.published_at.is_not(None) & plan_versions.c.replaced_by.is_(None)
        await connection.execute(update(plan_versions).where(mine, unreplaced).values(replaced_by=version))
    await connection.execute(
        update(plan_versions).where(mine, plan_versions.c.version == version).values(published_at=int(now))
    )
    await note_plan(connection, environment, await read_plan(connection, environment, plan), now)
    await advance(connection, environment, kind="catalog", now=now)
    assert present.draft is not None
    return PlanVersion(plan_version_id(plan, version), plan, version, present.kind, present.draft)


def draft_changes(plan: Plan) -> tuple[GrantChange, ...]:
    """Return what the plan's draft changes against its newest version, by feature; nothing without a draft."""
    if plan.draft is None:
        return ()
    before = {grant.feature: grant for grant in (plan.versions[-1].grants if plan.versions else ())}
    after = {grant.feature: grant for grant in plan.draft}
    return tuple(
        GrantChange(feature, before.get(feature), after.get(feature))
        for feature in sorted(before.keys() | after.keys())
        if before.get(feature) != after.get(feature)
    )


async def _require_publishable(connection: AsyncConnection, environment: str, plan: Plan) -> None:
    if plan.draft is None:
        raise NothingToPublishError(
            f"plan {plan.key!r} has no draft: every change to its grants is published; save other grants first"
        )
    if plan.archived_at is not None:
        raise ArchivedError(f"plan {plan.key!r} is archived; restore it first")
    draft = PlanDraft(plan.key, plan.name, plan.kind, plan.prices, plan.draft, plan.description)
    await require_well_formed(connection, environment, draft)
