"""`GET /_sandbox/checkout/{id}`: the page to which an application sends who subscribes, with one button."""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from flux_sandbox.account import Action
from flux_sandbox.checkout import complete
from flux_sandbox.errors import StripeError
from flux_sandbox.html import document, headers, price_line
from flux_sandbox.ledger import Document
from flux_sandbox.passing import settle
from flux_sandbox.sandbox import Sandbox

__all__ = ["ROUTES"]


async def _show(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    settle(sandbox.account)
    try:
        return _page(sandbox, sandbox.account.ledger.require("checkout.session", request.path_params["id"]))
    except StripeError as error:
        return HTMLResponse(document("Checkout", _alert(error)), error.status, headers=headers())


async def _pay(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    settle(sandbox.account)
    action = Action(sandbox.account, sandbox.account.clock.now())
    session = None
    try:
        session = action.ledger.require("checkout.session", request.path_params["id"])
        complete(action, session)
    except StripeError as error:
        if session is None:
            return HTMLResponse(document("Checkout", _alert(error)), error.status, headers=headers())
        return _page(sandbox, session, error)
    there = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
    return RedirectResponse(there, status_code=303)


def _page(sandbox: Sandbox, session: Document, error: StripeError | None = None) -> HTMLResponse:
    ledger = sandbox.account.ledger
    lines = "".join(
        f"<li>{line.get('quantity', 1)} x {price_line(ledger, ledger.require('price', line['price']))}</li>"
        for line in session["line_items"]
    )
    what = f"<h1>Checkout</h1><ul>{lines}</ul>{_alert(error) if error else ''}"
    body = what + (_form(session) if session["status"] == "open" else _over(session))
    answer = headers(leads_to=_origin(session["success_url"]))
    return HTMLResponse(document("Checkout", body), error.status if error else 200, headers=answer)


def _form(session: Document) -> str:
    back = session["cancel_url"]
    return (
        f'<form method="post" action="/_sandbox/checkout/{session["id"]}"><button>Pay and subscribe</button></form>'
        + (f'<p><a href="{escape(back)}">Back</a></p>' if back else "")
    )


def _over(session: Document) -> str:
    return f"<p>This session is {session['status']}.</p>"


def _alert(error: StripeError) -> str:
    return f'<p class="error" role="alert">{escape(error.message)}</p>'


def _origin(url: str) -> str:
    """Return where the browser is sent after the form: its policy must allow that too."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


ROUTES: Final = (
    Route("/_sandbox/checkout/{id}", _show, methods=["GET"]),
    Route("/_sandbox/checkout/{id}", _pay, methods=["POST"]),
)
