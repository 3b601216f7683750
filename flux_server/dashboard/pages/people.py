"""Everybody who may sign in, inviting somebody, and removing somebody."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.accounts.invitations import invite, list_invitations, withdraw_invitation
from flux_server.accounts.users import list_users, normalize_email, remove_user
from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import UsersForm, UsersVisit, UserVisit
from flux_server.errors import ConflictError

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@router.get("/people")
async def show_people(visit: UsersVisit) -> Response:
    """List everybody, and the links that were not used yet."""
    return await _page(visit, Form())


@router.post("/people/invite")
async def invite_somebody(visit: UsersVisit, form: UsersForm) -> Response:
    """Make a one-time link and show it in this very answer: only its hash is kept."""
    email = form.text("email", required="give their email address")
    if form.ok:
        with form.tried():
            email = normalize_email(email)
            async with visit.write() as connection:
                known = {user.email for user in await list_users(connection)}
                invitation, token = await invite(connection, email, visit.wall)
            return visit.page(
                "invitation.html",
                status=201,
                section="people",
                invitation=invitation,
                is_known=email in known,
                link=f"{visit.site.settings.url}/setup/{token}",
            )
    return await _page(visit, form)


@router.post("/people/withdraw")
async def withdraw(visit: UsersVisit, form: UsersForm) -> Response:
    """Void a link that was not used yet."""
    async with visit.write() as connection:
        await withdraw_invitation(connection, form.typed("invitation"))
    return visit.goto("/people", say="The link does not work any more.")


@router.post("/people/remove")
async def remove(visit: UsersVisit, form: UsersForm) -> Response:
    """Remove somebody else, whose sessions end at once."""
    if form.typed("user") == visit.user.id:
        raise ConflictError("you cannot remove yourself; ask a colleague")
    async with visit.write() as connection:
        await remove_user(connection, form.typed("user"))
    return visit.goto("/people", say="They cannot sign in any more.")


async def _page(visit: UserVisit, form: Form) -> Response:
    async with visit.read() as connection:
        people = await list_users(connection)
        invitations = await list_invitations(connection, visit.wall)
    return visit.page(
        "people.html",
        status=200 if form.ok else form.status,
        section="people",
        form=form,
        invitations=invitations,
        people=people,
    )
