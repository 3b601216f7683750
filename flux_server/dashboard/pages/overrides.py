"""An organization's exceptions: making one, and ending one."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from flux_middleware.snapshot import require_organization
from flux_server.catalog.reading import list_features
from flux_server.dashboard.override_forms import read_override
from flux_server.dashboard.pages.organization import organization_page
from flux_server.dashboard.visits import EnvironmentsVisit, UsersForm
from flux_server.organizations.overrides import add_override, remove_override

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@router.post("/{environment}/organization/override")
async def make_override(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Make an exception for the organization, in the name of whoever is signed in."""
    organization = require_organization(visit.query("id"))
    async with visit.read() as connection:
        draft = read_override(form, await list_features(connection, visit.key), visit.now)
    if form.ok:
        with form.tried():
            async with visit.write() as connection:
                await add_override(
                    connection,
                    visit.key,
                    organization,
                    **asdict(draft),
                    author=visit.user.email,
                    now=visit.now,
                )
            upcoming = draft.since is not None and draft.since > visit.now
            said = f"The override of {draft.feature} {'will be' if upcoming else 'is'} in force."
            return visit.goto(visit.address("organization", id=organization), say=said)
    return await organization_page(visit, override_form=form)


@router.post("/{environment}/organization/override/remove")
async def end_override(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """End an exception."""
    organization = require_organization(visit.query("id"))
    async with visit.write() as connection:
        await remove_override(connection, visit.key, organization, form.typed("override"), now=visit.now)
    return visit.goto(visit.address("organization", id=organization), say="The override is removed.")
