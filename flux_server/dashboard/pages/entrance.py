"""The pages that everybody may open: the one-time link, signing in, and the way from `/` to where work begins."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.accounts.entrance import accept_invitation, sign_in
from flux_server.accounts.invitations import find_invitation
from flux_server.accounts.passwords import MIN_PASSWORD
from flux_server.accounts.sessions import end_session
from flux_server.dashboard.forms import Form
from flux_server.dashboard.visits import AnybodysForm, AnybodysVisit, UsersForm, UsersVisit, Visit

__all__ = ["local_path", "router"]

router = APIRouter(default_response_class=Response)

_EMAIL_NEEDED = "give your email address"
_LONGEST_PASSWORD = 1_000


@router.get("/")
async def enter(visit: UsersVisit) -> Response:
    """Send whoever is signed in to where work begins."""
    return visit.goto("/test")


@router.get("/setup/{token}")
async def show_set_up(token: str, visit: AnybodysVisit) -> Response:
    """Show what a one-time link is for; looking at it does not use it up."""
    return await _set_up_page(visit, token, Form())


@router.post("/setup/{token}")
async def set_up(token: str, visit: AnybodysVisit, form: AnybodysForm) -> Response:
    """Use the one-time link up."""
    password = _new_password(form)
    email = form.typed("email")
    if form.ok:
        with form.tried():
            _, session = await accept_invitation(
                visit.site.database,
                visit.site.passwords,
                visit.guest,
                token=token,
                email=email,
                password=password,
            )
            return _signed_in(visit, session, "/", "You are signed in.")
    return await _set_up_page(visit, token, form)


@router.get("/sign-in")
async def show_sign_in(visit: AnybodysVisit) -> Response:
    """Ask who it is."""
    return _sign_in_page(visit, Form())


@router.post("/sign-in")
async def enter_by_password(visit: AnybodysVisit, form: AnybodysForm) -> Response:
    """Sign in, with a session that did not exist before."""
    email = form.text("email", required=_EMAIL_NEEDED)
    password = form.typed("password")[:_LONGEST_PASSWORD]
    if form.ok:
        with form.tried():
            _, session = await sign_in(
                visit.site.database, visit.site.passwords, visit.guest, email=email, password=password
            )
            return _signed_in(visit, session, local_path(visit.query("next")))
    return _sign_in_page(visit, form)


@router.post("/sign-out")
async def leave(visit: UsersVisit, form: UsersForm) -> Response:  # noqa: ARG001  asking for it checks it
    """End the session."""
    async with visit.write() as connection:
        await end_session(connection, visit.user.id, visit.session.id)
    response = visit.goto("/sign-in", say="You are signed out.")
    visit.site.cookies.sign_out(response)
    return response


def local_path(wanted: str) -> str:
    """Return `wanted` if it is a path on this server, else `/`: nobody shall be sent elsewhere from here."""
    # Browsers read `\` as `/`, skip tabs and newlines, and take what follows `//` for a host.
    is_local = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_local else "/"


def _signed_in(visit: Visit, session: str, path: str, say: str = "") -> Response:
    response = visit.goto(path, say=say)
    visit.site.cookies.sign_in(response, session)
    return response


def _new_password(form: Form) -> str:
    password = form.typed("password")
    if len(password) < MIN_PASSWORD:
        form.wrong("password", f"a password has at least {MIN_PASSWORD} characters")
    if len(password) > _LONGEST_PASSWORD:
        form.wrong("password", f"a password has at most {_LONGEST_PASSWORD} characters")
    return password


async def _set_up_page(visit: Visit, token: str, form: Form) -> Response:
    async with visit.site.database.read() as connection:
        invitation = await find_invitation(connection, token, visit.wall)
    return visit.page(
        "set_up.html",
        status=200 if form.ok else form.status,
        form=form,
        invitation=invitation,
        least=MIN_PASSWORD,
    )


def _sign_in_page(visit: Visit, form: Form) -> Response:
    return visit.page(
        "sign_in.html", status=200 if form.ok else form.status, form=form, next=visit.query("next")
    )
