"""`GET /`: the account on one page, and what its buttons do. Plain HTML, no JavaScript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from html import escape
from importlib.resources import files
from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route as HttpRoute

from flux_sandbox import subscriptions
from flux_sandbox.account import Account, Action
from flux_sandbox.clock import Clock
from flux_sandbox.deliveries import Delivery
from flux_sandbox.errors import StripeError
from flux_sandbox.form import Raw, decode, pairs
from flux_sandbox.html import button, document, headers, moment, section, table
from flux_sandbox.ledger import Document
from flux_sandbox.meter_log import aggregate
from flux_sandbox.page_customer import customer_article
from flux_sandbox.parameters import parse
from flux_sandbox.passing import settle
from flux_sandbox.periods import boundary
from flux_sandbox.sandbox import Sandbox
from flux_sandbox.staging import authenticate_and_pay, cancel_in_portal, set_payments

__all__ = ["ROUTES"]

_MOST: Final = 50
_EVER: Final = 2**53
_BY_PATH: Final = {(route.method, route.path): route for route in subscriptions.ROUTES}
_REQUESTS: Final = {
    "cancel": _BY_PATH["DELETE", "/v1/subscriptions/{id}"],
    "change": _BY_PATH["POST", "/v1/subscriptions/{id}"],
    "pause": _BY_PATH["POST", "/v1/subscriptions/{id}/pause"],
    "resume": _BY_PATH["POST", "/v1/subscriptions/{id}/resume"],
    "subscribe": _BY_PATH["POST", "/v1/subscriptions"],
}
"""Buttons that do what a request to the API would; their forms carry its parameters."""
_STAGED: Final[dict[str, Callable[[Action, str, Document], Document]]] = {
    "cancel_later": cancel_in_portal,
    "pay": authenticate_and_pay,
    "payments": set_payments,
}
"""Buttons that do what the customer would, or the customer's bank."""


async def _show(request: Request) -> Response:
    settle(request.app.state.sandbox.account)
    return _page(request.app.state.sandbox)


async def _style(_: Request) -> Response:
    return Response(files("flux_sandbox").joinpath("page.css").read_bytes(), media_type="text/css")


def _button(
    press: Callable[[Sandbox, str, dict[str, Raw]], None],
) -> Callable[[Request], Awaitable[Response]]:
    """Make what answers a button: does what it asks for, and shows the page again where it was pressed."""

    async def pressed(request: Request) -> Response:
        sandbox: Sandbox = request.app.state.sandbox
        settle(sandbox.account)
        target = request.path_params.get("id", "")
        try:
            press(sandbox, target, decode(pairs(await request.body())))
        except StripeError as error:
            return _page(sandbox, error)
        return RedirectResponse(f"/#{target}" if target else "/", status_code=303)

    return pressed


def _request(name: str) -> Callable[[Request], Awaitable[Response]]:
    route = _REQUESTS[name]

    def press(sandbox: Sandbox, target: str, asked: dict[str, Raw]) -> None:
        sandbox.api.call(route, parse(route.parameters, asked), target)

    return _button(press)


def _staged(name: str) -> Callable[[Request], Awaitable[Response]]:
    stage = _STAGED[name]

    def press(sandbox: Sandbox, target: str, asked: dict[str, Raw]) -> None:
        given: dict[str, Any] = {key: value or None for key, value in asked.items()}
        stage(Action(sandbox.account, sandbox.account.clock.now()), target, given)

    return _button(press)


def _later(sandbox: Sandbox, _: str, asked: dict[str, Raw]) -> None:
    interval = "month" if asked.get("interval") == "month" else "day"
    clock: Clock = sandbox.account.clock
    now = clock.now()
    clock.advance(boundary(now, {"interval": interval, "interval_count": 1}, 1) - now)
    settle(sandbox.account)


ROUTES: Final = (
    HttpRoute("/", _show, methods=["GET"]),
    HttpRoute("/_sandbox/page.css", _style, methods=["GET"]),
    HttpRoute("/_sandbox/page/later", _button(_later), methods=["POST"]),
    HttpRoute("/_sandbox/page/subscribe", _request("subscribe"), methods=["POST"]),
    *(
        HttpRoute(f"/_sandbox/page/{name}/{{id}}", _request(name), methods=["POST"])
        for name in ("cancel", "change", "pause", "resume")
    ),
    *(HttpRoute(f"/_sandbox/page/{name}/{{id}}", _staged(name), methods=["POST"]) for name in _STAGED),
)


def _page(sandbox: Sandbox, error: StripeError | None = None) -> HTMLResponse:
    account = sandbox.account
    parts = [
        _head(account),
        f'<p class="error" role="alert">{escape(error.message)}</p>' if error else "",
        section("Customers", _customers(account)),
        section("Meters", _meters(account)),
        section("Webhook deliveries", _deliveries(sandbox.deliveries.log)),
        _foot(sandbox),
    ]
    return HTMLResponse(
        document("flux-sandbox", "".join(parts)), error.status if error else 200, headers=headers()
    )


def _head(account: Account) -> str:
    return (
        "<h1>flux-sandbox</h1><p>A Stripe to run offline: nothing here is real, nothing is charged. "
        f'The account\'s time is {moment(account.clock.now())}.</p><div class="buttons">'
        + button("/_sandbox/page/later", "A day later", hidden={"interval": "day"})
        + button("/_sandbox/page/later", "A month later", hidden={"interval": "month"})
        + "</div>"
    )


def _foot(sandbox: Sandbox) -> str:
    violations = len(sandbox.api.violations)
    return (
        f'<footer><a href="/_sandbox/violations">{violations} violations</a> · '
        '<a href="/_sandbox/requests">requests</a> · <a href="/_sandbox/deliveries">deliveries</a>'
        "</footer>"
    )


def _customers(account: Account) -> str:
    newest = islice(account.ledger.newest_first("customer"), _MOST)
    shown = "".join(customer_article(account, one) for one in newest)
    return shown or "<p>None yet: create one with <code>POST /v1/customers</code>.</p>"


def _meters(account: Account) -> str:
    rows = [
        [
            escape(meter["display_name"]),
            f"<code>{escape(meter['event_name'])}</code>",
            meter["status"],
            who,
            total,
        ]
        for meter in account.ledger.newest_first("billing.meter")
        for who, total in _totals(account, meter)
    ]
    if not rows:
        return "<p>None yet: create one with <code>POST /v1/billing/meters</code>.</p>"
    return table(("Meter", "Event name", "Status", "Customer", "Total"), rows)


def _totals(account: Account, meter: Document) -> Iterable[tuple[str, str]]:
    formula, window = meter["default_aggregation"]["formula"], meter["event_time_window"]
    for customer in account.meter_log.customers(meter["id"]):
        usage = account.meter_log.between(meter["id"], customer, 0, _EVER)
        known = account.ledger.find("customer", customer) or {}
        yield escape(known.get("name") or customer), f"{aggregate(usage, formula, window):f}"
    if not account.meter_log.customers(meter["id"]):
        yield "nobody yet", "0"


def _deliveries(log: list[Delivery]) -> str:
    rows = [
        [
            escape(one.type),
            f"<code>{one.event}</code>",
            escape(one.url),
            str(one.attempt),
            f'<span class="{"active" if one.ok else "canceled"}">{one.status or one.error}</span>',
        ]
        for one in log[:_MOST]
    ]
    if not rows:
        return "<p>None yet: create an endpoint with <code>POST /v1/webhook_endpoints</code>.</p>"
    return table(("Type", "Event", "To", "Attempt", "Answer"), rows)
