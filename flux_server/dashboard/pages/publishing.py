"""Publishing a plan's draft: what it changes, for how many organizations, and what becomes of present subscribers."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from flux_middleware.snapshot import plan_version_id
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import Plan, read_plan
from flux_server.dashboard.clashes import SEEN
from flux_server.dashboard.forms import Form
from flux_server.dashboard.plan_forms import filled_in
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.errors import ConflictError
from flux_server.organizations.catalog_changes import apply_prices, preview_publication

__all__ = ["EXISTING", "router"]

router = APIRouter(default_response_class=Response)

EXISTING = [
    (
        "stay",
        "They stay on the version they have",
        "Only who subscribes from now on gets the new version.",
    ),
    ("migrate", "They migrate to the new version", "Everybody has what it grants at once."),
]

_MOVED = (
    "the plan was changed after you opened this page, so nothing was published; look at what is published now, "
    "and press the button again"
)


@dataclass(frozen=True, slots=True)
class Subscribers:
    """How many organizations pay for a version, and the version that they have for it."""

    version: int
    organizations: int
    has: int


@router.get("/{environment}/plan/publish")
async def show_publication(visit: EnvironmentsVisit) -> Response:
    """Show what publishing the draft would change, before it is done."""
    return await _page(visit)


@router.post("/{environment}/plan/publish")
async def publish(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Publish the plan's draft as its next version, if it is still the draft that was shown."""
    key = visit.query("key")
    existing = form.choice("existing", {choice for choice, _, _ in EXISTING})
    if form.ok:
        with form.tried():
            async with visit.edit() as connection:
                stored = filled_in(await read_plan(connection, visit.key, key))
                if form.typed(SEEN) != stored.typed(SEEN):
                    raise ConflictError(_MOVED)
                version = await publish_plan(connection, visit.key, key, existing=existing, now=visit.now)
                await apply_prices(connection, visit.key, visit.now)
            said = f"Version {version.version} of plan {key} is published."
            return visit.goto(visit.address("plan", key=key), say=said)
    return await _page(visit, form)


async def _page(visit: EnvironmentVisit, form: Form | None = None) -> Response:
    key = visit.query("key")
    async with visit.read() as connection:
        plan = await read_plan(connection, visit.key, key)
        publication = await preview_publication(connection, visit.key, key)
    form = form or Form.of({"existing": "stay"})
    form.fill(SEEN, filled_in(plan).typed(SEEN))
    return visit.page(
        "publish.html",
        status=200 if form.ok else form.status,
        section="plans",
        existing=EXISTING,
        form=form,
        next=plan.versions[-1].version + 1 if plan.versions else 1,
        plan=plan,
        publication=publication,
        subscribers=_subscribers(plan, publication.subscribers),
        total=sum(publication.subscribers.values()),
    )


def _subscribers(plan: Plan, counts: dict[str, int]) -> list[Subscribers]:
    """Return those of every version that somebody pays for, newest first."""
    replaced = {version.version: version.replaced_by for version in plan.versions}

    def has(version: int) -> int:
        by = replaced[version]
        return version if by is None else has(by)

    found = (
        Subscribers(version, counts.get(plan_version_id(plan.key, version), 0), has(version))
        for version in sorted(replaced, reverse=True)
    )
    return [each for each in found if each.organizations]
