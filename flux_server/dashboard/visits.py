"""A visit: one request to the dashboard, who makes it, and how it is answered.

Pages ask for the visit they need. `AnybodysVisit` is for the few that everybody may open; `UserVisit` sends
whoever is not signed in to sign in first; `EnvironmentVisit` is that, in the environment that the address names.
A page that changes something asks for a form, too, and gets it only if it was made for this very browser.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import UploadFile

from flux_server.accounts.entrance import Guest
from flux_server.accounts.sessions import Session, find_session, needs_renewal, renew_session
from flux_server.accounts.users import User
from flux_server.dashboard.browsers import describe_browser
from flux_server.dashboard.forms import Form
from flux_server.dashboard.rendering import address
from flux_server.dashboard.site import Site
from flux_server.environments.environments import Environment, list_environments
from flux_server.environments.revisions import lock
from flux_server.errors import NotFoundError, RequestError

__all__ = [
    "AnybodysForm",
    "AnybodysVisit",
    "EnvironmentVisit",
    "EnvironmentsVisit",
    "FormRefusedError",
    "SignInNeededError",
    "UserVisit",
    "UsersForm",
    "UsersUpload",
    "UsersVisit",
    "Visit",
]

_LONGEST_FIELD = 4 * 1024 * 1024  # an uploaded file that is carried on; no body is longer


class SignInNeededError(RequestError):
    """The page is only for people who are signed in."""

    status = 401
    code = "sign_in_needed"
    title = "Sign in first"


class FormRefusedError(RequestError):
    """The form was not made for the browser that sent it."""

    status = 403
    code = "form_refused"
    title = "This form is not current"

    def __init__(self) -> None:
        super().__init__(
            "it was opened before you signed in or out, or in another browser. Nothing was changed. Go back, reload "
            "the page, and send it again"
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """Anybody's request. `now` is the time of plans and periods, `wall` that of sessions and invitations."""

    request: Request
    site: Site
    now: float
    wall: float

    @property
    def guest(self) -> Guest:
        """Return who is at the door."""
        client = self.request.client
        browser = describe_browser(self.request.headers.get("user-agent", ""))
        return Guest(client.host if client else "", browser, self.wall)

    def query(self, name: str) -> str:
        """Return a parameter of the address; empty if it is not there."""
        return self.request.query_params.get(name, "").replace("\0", "")

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Answer with a page."""
        shown = self._common() | context
        response = HTMLResponse(self.site.templates.render(template, shown), status)
        self.site.cookies.forget_message(self.request, response)
        self._keep(response, shown)
        return response

    def goto(self, path: str, *, say: str = "") -> Response:
        """Send the browser on, with a message to be shown there."""
        response = RedirectResponse(path, 303)
        if say:
            self.site.cookies.say(response, say)
        return response

    def _common(self) -> dict[str, Any]:
        csrf, nonce = self.site.cookies.form_token(self.request)
        return {
            "csrf": csrf,
            "environment": None,
            "environments": (),
            "nonce": nonce,
            "now": self.now,
            "said": self.site.cookies.said(self.request),
            "section": "",
            "user": None,
        }

    def _keep(self, response: Response, shown: dict[str, Any]) -> None:
        self.site.cookies.keep_form(response, shown["nonce"])


@dataclass(frozen=True, slots=True)
class UserVisit(Visit):
    """A request of somebody who is signed in."""

    user: User
    session: Session
    environments: tuple[Environment, ...]

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction that sees one moment of the database."""
        return self.site.database.read()

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction for the user to change something in."""
        return self.site.database.write(self.user.email)

    def _common(self) -> dict[str, Any]:
        return {
            "csrf": self.session.csrf,
            "environment": None,
            "environments": self.environments,
            "now": self.now,
            "said": self.site.cookies.said(self.request),
            "section": "",
            "user": self.user,
        }

    def _keep(self, response: Response, shown: dict[str, Any]) -> None:
        """The session holds what its forms are compared with."""


@dataclass(frozen=True, slots=True)
class EnvironmentVisit(UserVisit):
    """A request of somebody who is signed in, to a page of one environment."""

    environment: Environment

    @property
    def key(self) -> str:
        """Return the environment's key."""
        return self.environment.key

    def address(self, page: str, **query: str) -> str:
        """Return the address of a page of this environment."""
        return address(f"/{self.key}/{page}" if page else f"/{self.key}", **query)

    @asynccontextmanager
    async def edit(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction for the user to change the environment in, which nobody else changes meanwhile."""
        async with self.write() as connection:
            await lock(connection, self.key)
            yield connection

    def _common(self) -> dict[str, Any]:
        return UserVisit._common(self) | {"environment": self.environment}


def _visit(request: Request) -> Visit:
    site: Site = request.app.state.site
    return Visit(request, site, site.clock(), site.wall())


async def _user_visit(visit: AnybodysVisit) -> UserVisit:
    token = visit.request.cookies.get(visit.site.cookies.session, "")
    async with visit.site.database.read() as connection:
        environments = await list_environments(connection)
        found = await find_session(connection, token, visit.wall) if token else None
    wanted = visit.request.path_params.get("environment")
    if wanted is not None and wanted not in {environment.key for environment in environments}:
        raise NotFoundError("there is no such page")
    if found is None:
        raise SignInNeededError("sign in first")
    user, session = found
    if needs_renewal(session, visit.wall):
        async with visit.site.database.write() as connection:
            await renew_session(connection, session, visit.wall)
    return UserVisit(visit.request, visit.site, visit.now, visit.wall, user, session, environments)


async def _environment_visit(visit: UsersVisit, environment: str) -> EnvironmentVisit:
    (chosen,) = (known for known in visit.environments if known.key == environment)
    return EnvironmentVisit(
        visit.request,
        visit.site,
        visit.now,
        visit.wall,
        visit.user,
        visit.session,
        visit.environments,
        chosen,
    )


async def _anybodys_form(visit: AnybodysVisit) -> Form:
    form = await _form(visit.request)
    if not visit.site.cookies.is_own_form(visit.request, form.typed("csrf")):
        raise FormRefusedError
    return form


async def _users_form(visit: UsersVisit) -> Form:
    form = await _form(visit.request)
    _require_own(visit, form)
    return form


async def _users_upload(visit: UsersVisit) -> tuple[Form, bytes]:
    """Return the form, and the file in it; nothing if there is none."""
    async with visit.request.form(max_files=1) as sent:
        fields = [(name, value) for name, value in sent.multi_items() if isinstance(value, str)]
        files = [value for value in sent.values() if isinstance(value, UploadFile)]
        form = Form(fields)
        _require_own(visit, form)
        return form, await files[0].read() if files else b""


def _require_own(visit: UserVisit, form: Form) -> None:
    if not hmac.compare_digest(form.typed("csrf").encode(), visit.session.csrf.encode()):
        raise FormRefusedError


async def _form(request: Request) -> Form:
    async with request.form(max_files=0, max_part_size=_LONGEST_FIELD) as sent:
        return Form((name, cast("str", text)) for name, text in sent.multi_items())


AnybodysVisit = Annotated[Visit, Depends(_visit)]
UsersVisit = Annotated[UserVisit, Depends(_user_visit)]
EnvironmentsVisit = Annotated[EnvironmentVisit, Depends(_environment_visit)]
AnybodysForm = Annotated[Form, Depends(_anybodys_form)]
UsersForm = Annotated[Form, Depends(_users_form)]
UsersUpload = Annotated[tuple[Form, bytes], Depends(_users_upload)]
