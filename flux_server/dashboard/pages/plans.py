"""Plans: what each grants and by which prices it is sold; drafts, publishing, and the default plan."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.catalog.plans import save_plan, set_default_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import list_features, list_metrics, list_plans, read_plan
from flux_server.dashboard.forms import Form
from flux_server.dashboard.plan_forms import filled_in, price_rows, read_draft
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.organizations.catalog_changes import apply_prices

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_EXISTING = [
    (
        "stay",
        "They stay on the version they have",
        "Only who subscribes from now on gets the new version.",
    ),
    ("migrate", "They migrate to the new version", "Everybody has what it grants at once."),
]


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
    return await _plan_page(visit, Form.of({"existing": "stay"}))


@router.post("/{environment}/plan/publish")
async def publish(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Publish the plan's draft as its next version."""
    key = visit.query("key")
    existing = form.choice("existing", {choice for choice, _, _ in _EXISTING})
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                version = await publish_plan(connection, visit.key, key, existing=existing, now=visit.now)
                await apply_prices(connection, visit.key, visit.now)
            said = f"Version {version.version} of plan {key} is published."
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
    present = visit.query("key")
    async with visit.read() as connection:
        draft = read_draft(form, present, await list_features(connection, visit.key))
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                if not present and draft.key in {
                    plan.key for plan in await list_plans(connection, visit.key)
                }:
                    form.wrong("key", f"there is a plan “{draft.key}” already; edit that one")
                if form.ok:
                    plan = await save_plan(connection, visit.key, draft, visit.now)
                    await apply_prices(connection, visit.key, visit.now)
    if form.ok:
        said = f"Plan {draft.key} is saved." + (
            " Publish its draft to put it in force." if plan.draft else ""
        )
        return visit.goto(visit.address("plan", key=draft.key), say=said)
    return await _plan_form_page(visit, form)


async def _plans_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        plans = await list_plans(connection, visit.key)
    possible = [(plan.key, plan.name) for plan in plans if plan.kind == "base" and plan.versions]
    return visit.page(
        "plans.html",
        status=200 if form.ok else form.status,
        section="plans",
        choices=[("", "None: they have nothing"), *possible],
        form=form,
        plans=plans,
    )


async def _plan_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        plan = await read_plan(connection, visit.key, visit.query("key"))
        features = await list_features(connection, visit.key)
    published = {grant.feature: grant for grant in plan.versions[-1].grants} if plan.versions else {}
    drafted = published if plan.draft is None else {grant.feature: grant for grant in plan.draft}
    return visit.page(
        "plan.html",
        status=200 if form.ok else form.status,
        section="plans",
        drafted=drafted,
        existing=_EXISTING,
        features=[feature for feature in features if feature.key in published.keys() | drafted.keys()],
        form=form,
        plan=plan,
        published=published,
    )


async def _plan_form_page(visit: EnvironmentVisit, form: Form) -> Response:
    async with visit.read() as connection:
        features = await list_features(connection, visit.key)
        metrics = await list_metrics(connection, visit.key)
    return visit.page(
        "plan_form.html",
        status=200 if form.ok else form.status,
        section="plans",
        features=features,
        form=form,
        key=visit.query("key"),
        prices=price_rows(form),
        metrics=[("", "flat"), *((metric.key, f"per {metric.key}") for metric in metrics)],
    )
