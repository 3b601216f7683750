"""Organizations: the list, and making one."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_middleware.snapshot import require_organization
from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm
from flux_server.errors import NotFoundError
from flux_server.organizations.organizations import (
    ensure_organization,
    list_organizations,
    read_organization,
)
from flux_server.stripe.owners import find_owners

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_PAGE = 50


@router.get("/{environment}/organizations")
async def show_organizations(visit: EnvironmentsVisit) -> Response:
    """List organizations in the order of their ids, a page at a time."""
    query, after = visit.query("query")[:255], visit.query("after")
    wanted = query.strip()
    async with visit.read() as connection:
        also = await find_owners(connection, visit.key, wanted) if wanted else ()
        found = await list_organizations(
            connection, visit.key, query=wanted, also=also, after=after, limit=_PAGE + 1
        )
    return visit.page(
        "organizations.html",
        section="organizations",
        after=after,
        found=found[:_PAGE],
        next=found[_PAGE - 1].id if len(found) > _PAGE else "",
        query=query,
    )


@router.get("/{environment}/organization/new")
async def show_new_organization(visit: EnvironmentsVisit) -> Response:
    """Show the form of a new organization."""
    return _new_page(visit, Form())


@router.post("/{environment}/organization/new")
async def make_organization(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Make an organization."""
    organization = form.typed("id")
    if not organization:
        form.wrong("id", "give the id that your application knows it by")
    name = form.text("name")
    if form.ok:
        with form.tried():
            require_organization(organization)
            async with visit.write() as connection:
                try:
                    await read_organization(connection, visit.key, organization)
                except NotFoundError:
                    await ensure_organization(connection, visit.key, organization, name=name, now=visit.now)
                else:
                    form.wrong("id", "there is an organization of this id already")
    if form.ok:
        return visit.goto(
            visit.address("organization", id=organization), say="The organization is there now."
        )
    return _new_page(visit, form)


def _new_page(visit: EnvironmentVisit, form: Form) -> Response:
    status = 200 if form.ok else form.status
    return visit.page("organization_new.html", status=status, section="organizations", form=form)
