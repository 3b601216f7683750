"""Status policies: what a subscription's status gives, for an environment and for single plans (stripe.md 2.6)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import StatusPolicy, encode
from flux_server.catalog.errors import InvalidPolicyError
from flux_server.catalog.plans import note_plan
from flux_server.catalog.reading import read_plan
from flux_server.catalog.tables import plans
from flux_server.catalog.values import MAX_GRACE, MAX_LEEWAY
from flux_server.environments.environments import note_settings, read_environment
from flux_server.environments.revisions import advance, lock
from flux_server.environments.tables import environments

__all__ = ["CHANGEABLE_STATUSES", "set_plan_policy", "set_policy"]

CHANGEABLE_STATUSES: Final = ("trialing", "past_due", "unpaid", "incomplete", "paused")
"""Statuses that an environment may read as it likes; the others leave no doubt."""

_EFFECTS = ("grant", "grace", "revoke")
_PAUSES = ("grant", "until_period_end")


async def set_policy(connection: AsyncConnection, environment: str, policy: StatusPolicy, now: float) -> None:
    """Read the statuses of the environment's subscriptions in this way from now on.

    Raises:
        InvalidPolicyError: the policy cannot be followed.
    """
    _require_sane(policy)
    await lock(connection, environment)
    if (await read_environment(connection, environment)).policy == policy:
        return
    mine = environments.c.key == environment
    await connection.execute(update(environments).where(mine).values(policy=encode(policy).decode()))
    await note_settings(connection, environment, now)
    await advance(connection, environment, kind="catalog", now=now)


async def set_plan_policy(
    connection: AsyncConnection, environment: str, plan: str, policy: StatusPolicy | None, now: float
) -> None:
    """Read the statuses of the plan's subscribers in this way from now on; None: as the environment does.

    Raises:
        InvalidPolicyError: the policy cannot be followed.
    """
    if policy is not None:
        _require_sane(policy)
    await lock(connection, environment)
    if (await read_plan(connection, environment, plan)).policy == policy:
        return
    mine = (plans.c.environment == environment) & (plans.c.key == plan)
    json = None if policy is None else encode(policy).decode()
    await connection.execute(update(plans).where(mine).values(policy=json))
    await note_plan(connection, environment, await read_plan(connection, environment, plan), now)
    await advance(connection, environment, kind="catalog", now=now)


def _require_sane(policy: StatusPolicy) -> None:
    wrong = [
        f"{word} is 0 to {most} seconds, not {seconds}"
        for word, seconds, most in (
            ("leeway", policy.leeway, MAX_LEEWAY),
            ("grace", policy.grace, MAX_GRACE),
        )
        if not 0 <= seconds <= most
    ]
    for status, effect in policy.statuses.items():
        if status not in CHANGEABLE_STATUSES:
            wrong.append(
                f"status {status!r:.50}: only {', '.join(CHANGEABLE_STATUSES)} can be read otherwise"
            )
        if effect not in _EFFECTS:
            wrong.append(f"status {status!r:.50} is to {', '.join(_EFFECTS)}, not {effect!r:.50}")
    if policy.pause_collection not in _PAUSES:
        wrong.append(f"pause_collection is {' or '.join(_PAUSES)}, not {policy.pause_collection!r:.50}")
    if wrong:
        raise InvalidPolicyError("; ".join(wrong), errors=wrong)
