"""Plans: what each grants and by which prices it is sold; drafts, archiving, and the default plan."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.catalog.plans import archive_plan, save_plan, set_default_plan
from flux_server.catalog.reading import (
    Plan,
    describe_features,
    find_plan,
    list_features,
    list_metrics,
    list_plans,
    read_plan,
)
from flux_server.dashboard.clashes import notice_clash
from flux_server.dashboard.forms import Form
from flux_server.dashboard.plan_forms import filled_in, grantable, price_rows, read_draft
from flux_server.dashboard.policy_forms import sentences
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.organizations.catalog_changes import apply_prices

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@router.get("/{environment}/plans")
async def show_plans(visit: EnvironmentsVisit) -> Response:
    """List the plans."""
    return await _plans_page(visit, Form.of({"plan": visit.environment.default_plan}))


@router.post("/{environment}/default-plan")
async def choose_default_plan(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Choose what organizations without a base plan have."""
    plan = form.text("plan")
    with form.tried():
        async with visit.write() as connection:
            await set_default_plan(connection, visit.key, plan or None, visit.now)
        said = f"Plan {plan} is the default plan." if plan else "There is no default plan any more."
        return visit.goto(visit.address("plans"), say=said)
    return await _plans_page(visit, form)


@router.get("/{environment}/plan")
async def show_plan(visit: EnvironmentsVisit) -> Response:
    """Show a plan: what it grants now, what its draft would change, and how it came to be."""
    return await _plan_page(visit, Form())


@router.post("/{environment}/plan/archive")
async def archive(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Archive the plan, or with `restore` take that back."""
    key, archived = visit.query("key"), not form.typed("restore")
    with form.tried():
        async with visit.write() as connection:
            await archive_plan(connection, visit.key, key, visit.now, archived=archived)
        said = f"Plan {key} is {'archived' if archived else 'restored'}."
        return visit.goto(visit.address("plan", key=key), say=said)
    return await _plan_page(visit, form)


@router.get("/{environment}/plan/edit")
async def show_plan_form(visit: EnvironmentsVisit) -> Response:
    """Show the form of a plan; without a key that of a new one."""
    form = Form.of({"kind": "base"})
    if key := visit.query("key"):
        async with visit.read() as connection:
            form = filled_in(await read_plan(connection, visit.key, key))
    return await _plan_form_page(visit, form)


@router.post("/{environment}/plan/edit")
async def save(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Save the plan: its name and prices at once, its grants as a draft."""
    plan = await _save(visit, form)
    if plan is None:
        return await _plan_form_page(visit, form)
    said = f"Plan {plan.key} is saved." + (" Publish its draft to put it in force." if plan.draft else "")
    return visit.goto(visit.address("plan", key=plan.key), say=said)


async def _save(visit: EnvironmentVisit, form: Form) -> Plan | None:
    """Return the plan as it is saved; None if something is wrong with the form."""
    key = visit.query("key")
    async with visit.read() as connection:
        draft = read_draft(form, key, await list_features(connection, visit.key))
    if not form.ok:
        return None
    with form.tried():
        async with visit.edit() as connection:
            if key:
                stored = filled_in(await read_plan(connection, visit.key, key))
                await notice_clash(connection, visit.key, form, stored, "plan", key)
            elif await find_plan(connection, visit.key, draft.key):
                form.wrong("key", f"there is a plan “{draft.key}” already; edit that one")
            if form.ok:
                plan = await save_plan(connection, visit.key, draft, visit.now)
                await apply_prices(connection, visit.key, visit.now)
                return plan
    return None


async def _plans_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        plans = await list_plans(connection, visit.key)
    live = [plan for plan in plans if plan.archived_at is None]
    possible = [(plan.key, plan.name) for plan in live if plan.kind == "base" and plan.versions]
    return visit.page(
        "plans.html",
        status=200 if form.ok else form.status,
        section="plans",
        archived=[plan for plan in plans if plan.archived_at is not None],
        choices=[("", "None: they have nothing"), *possible],
        form=form,
        plans=live,
    )


async def _plan_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        plan = await read_plan(connection, visit.key, visit.query("key"))
        features = await describe_features(connection, visit.key)
    published = {grant.feature: grant for grant in plan.versions[-1].grants} if plan.versions else {}
    drafted = published if plan.draft is None else {grant.feature: grant for grant in plan.draft}
    return visit.page(
        "plan.html",
        status=200 if form.ok else form.status,
        section="plans",
        drafted=drafted,
        features=[each for each in features if each.value.key in published.keys() | drafted.keys()],
        form=form,
        plan=plan,
        policy=None if plan.policy is None else sentences(plan.policy),
        published=published,
    )


async def _plan_form_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        features = await describe_features(connection, visit.key)
        metrics = await list_metrics(connection, visit.key)
    return visit.page(
        "plan_form.html",
        status=200 if form.ok else form.status,
        section="plans",
        features=grantable(features, form),
        form=form,
        key=visit.query("key"),
        prices=price_rows(form, visit.query("price")),
        metrics=[("", "flat"), *((metric.key, f"per {metric.key}") for metric in metrics)],
    )
