"""Status policies: what a subscription's status gives, in the environment and for the subscribers of one plan."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from flux_server.catalog.policies import CHANGEABLE_STATUSES, set_plan_policy, set_policy
from flux_server.catalog.reading import Plan, list_plans, read_plan
from flux_server.dashboard.clashes import SEEN, fingerprint, notice_clash
from flux_server.dashboard.forms import Form
from flux_server.dashboard.policy_forms import (
    DEFAULTS,
    EFFECTS,
    PAUSES,
    policy_form,
    read_policy,
    sentences,
)
from flux_server.dashboard.reasons import STATUS_WORDS
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.environments.environments import read_environment

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_OWN = [
    ("no", "As the environment does", "Also when that changes."),
    ("yes", "In its own way", "As it is set below, whatever the environment does."),
]


@router.get("/{environment}/policy")
async def show_policy(visit: EnvironmentsVisit) -> Response:
    """Show what each status gives, and let it be set."""
    return await _policy_page(visit)


@router.post("/{environment}/policy")
async def change_policy(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Read the statuses of subscriptions in this way from now on."""
    policy = read_policy(form)
    if form.ok:
        with form.tried():
            async with visit.edit() as connection:
                stored = policy_form((await read_environment(connection, visit.key)).policy)
                await notice_clash(connection, visit.key, form, stored, "settings", "")
                if form.ok:
                    await set_policy(connection, visit.key, policy, visit.now)
    if form.ok:
        return visit.goto(visit.address("policy"), say="The status policy is saved, and in force.")
    return await _policy_page(visit, form)


@router.get("/{environment}/plan/policy")
async def show_plan_policy(visit: EnvironmentsVisit) -> Response:
    """Show how the plan reads the statuses of its subscribers, and let it be set."""
    return await _plan_policy_page(visit)


@router.post("/{environment}/plan/policy")
async def change_plan_policy(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Read the statuses of the plan's subscribers in this way from now on."""
    key = visit.query("key")
    own = form.choice("own", {"no", "yes"}) == "yes"
    policy = read_policy(form) if own else None
    if form.ok:
        with form.tried():
            async with visit.edit() as connection:
                plan = await read_plan(connection, visit.key, key)
                stored = _plan_policy_form(plan, visit)
                await notice_clash(connection, visit.key, form, stored, "plan", key)
                if form.ok:
                    await set_plan_policy(connection, visit.key, key, policy, visit.now)
    if form.ok:
        said = f"Plan {key} has {'a status policy of its own' if own else 'the status policy of the environment'}."
        return visit.goto(visit.address("plan", key=key), say=said)
    return await _plan_policy_page(visit, form)


async def _policy_page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    async with visit.read() as connection:
        policy = (await read_environment(connection, visit.key)).policy
        plans = await list_plans(connection, visit.key)
    form = form or policy_form(policy)
    return visit.page(
        "policy.html",
        status=200 if form.ok else form.status,
        section="policy",
        form=form,
        own=[plan for plan in plans if plan.policy is not None],
        sentences=sentences(policy),
        **_choices(),
    )


async def _plan_policy_page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    async with visit.read() as connection:
        plan = await read_plan(connection, visit.key, visit.query("key"))
    form = form or _plan_policy_form(plan, visit)
    return visit.page(
        "plan_policy.html",
        status=200 if form.ok else form.status,
        section="plans",
        form=form,
        own=_OWN,
        plan=plan,
        sentences=sentences(plan.policy or visit.environment.policy),
        **_choices(),
    )


def _plan_policy_form(plan: Plan, visit: EnvironmentVisit) -> Form:
    form = policy_form(plan.policy or visit.environment.policy)
    form.fill("own", "no" if plan.policy is None else "yes")
    form.fill(SEEN, fingerprint(plan.policy))
    return form


def _choices() -> dict[str, Any]:
    return {
        "effects": EFFECTS,
        "defaults": DEFAULTS,
        "pauses": [(pause, *words) for pause, words in PAUSES.items()],
        "status_words": STATUS_WORDS,
        "statuses": CHANGEABLE_STATUSES,
    }
