"""One's own account: the password, and the sessions, each of which can be ended."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.accounts.entrance import change_password
from flux_server.accounts.passwords import MIN_PASSWORD
from flux_server.accounts.sessions import end_other_sessions, end_session, list_sessions
from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import UsersForm, UsersVisit, UserVisit

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@router.get("/account")
async def show_account(visit: UsersVisit) -> Response:
    """Show who one is, and where one is signed in."""
    return await _page(visit, Form())


@router.post("/account/password")
async def choose_password(visit: UsersVisit, form: UsersForm) -> Response:
    """Change the password; all other sessions end."""
    old, new = form.typed("old"), form.typed("new")
    if not old:
        form.wrong("old", "give your present password")
    if len(new) < MIN_PASSWORD:
        form.wrong("new", f"a password has at least {MIN_PASSWORD} characters")
    if form.ok:
        with form.tried():
            ended = await change_password(
                visit.site.database,
                visit.site.passwords,
                visit.guest,
                visit.session,
                visit.user,
                old=old,
                new=new,
            )
            said = "Your password is changed." + (" All other sessions are ended." if ended else "")
            return visit.goto("/account", say=said)
    return await _page(visit, form)


@router.post("/account/sessions/end")
async def end_one_session(visit: UsersVisit, form: UsersForm) -> Response:
    """End one of one's sessions, or with `all` all but this one."""
    async with visit.write() as connection:
        if form.typed("all"):
            await end_other_sessions(connection, visit.user.id, keep=visit.session.id)
        else:
            await end_session(connection, visit.user.id, form.typed("session"))
    return visit.goto("/account", say="Signed out there.")


async def _page(visit: UserVisit, form: Form) -> Response:
    async with visit.read() as connection:
        sessions = await list_sessions(connection, visit.user.id, visit.wall)
    return visit.page(
        "account.html",
        status=200 if form.ok else form.status,
        section="account",
        form=form,
        least=MIN_PASSWORD,
        session=visit.session,
        sessions=sessions,
    )
