"""`GET /`: the account on one page, with buttons to subscribe and to cancel. Plain HTML, no JavaScript."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route as HttpRoute

from flux_sandbox import subscriptions
from flux_sandbox.account import Account
from flux_sandbox.deliveries import Delivery
from flux_sandbox.errors import StripeError
from flux_sandbox.form import decode, pairs
from flux_sandbox.html import document, headers, moment, price_line, section, table
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.meter_log import aggregate
from flux_sandbox.parameters import parse
from flux_sandbox.passing import settle
from flux_sandbox.route import Route
from flux_sandbox.sandbox import Sandbox

__all__ = ["ROUTES"]

_MOST: Final = 50
_EVER: Final = 2**53
_BY_PATH: Final = {(route.method, route.path): route for route in subscriptions.ROUTES}
_SUBSCRIBE: Final = _BY_PATH["POST", "/v1/subscriptions"]
_CANCEL: Final = _BY_PATH["DELETE", "/v1/subscriptions/{id}"]


async def _show(request: Request) -> Response:
    return _page(request.app.state.sandbox)


async def _style(_: Request) -> Response:
    return Response(files("flux_sandbox").joinpath("page.css").read_bytes(), media_type="text/css")


async def _subscribe(request: Request) -> Response:
    return await _press(request, _SUBSCRIBE)


async def _cancel(request: Request) -> Response:
    return await _press(request, _CANCEL)


async def _press(request: Request, route: Route) -> Response:
    """Do what a button asks for, as a request to the API would, and show the page again."""
    sandbox: Sandbox = request.app.state.sandbox
    settle(sandbox.account)
    try:
        asked = decode(pairs(await request.body()))
        sandbox.api.call(route, parse(route.parameters, asked), request.path_params.get("id", ""))
    except StripeError as error:
        return _page(sandbox, error)
    return RedirectResponse("/", status_code=303)


ROUTES: Final = (
    HttpRoute("/", _show, methods=["GET"]),
    HttpRoute("/_sandbox/page.css", _style, methods=["GET"]),
    HttpRoute("/_sandbox/subscribe", _subscribe, methods=["POST"]),
    HttpRoute("/_sandbox/cancel/{id}", _cancel, methods=["POST"]),
)


def _page(sandbox: Sandbox, error: StripeError | None = None) -> HTMLResponse:
    account = sandbox.account
    parts = [
        _head(account),
        f'<p class="error" role="alert">{escape(error.message)}</p>' if error else "",
        section("Customers", _customers(account.ledger)),
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
        f"The account's time is {moment(account.clock.now())}.</p>"
    )


def _foot(sandbox: Sandbox) -> str:
    violations = len(sandbox.api.violations)
    return (
        f'<footer><a href="/_sandbox/violations">{violations} violations</a> · '
        '<a href="/_sandbox/requests">requests</a> · <a href="/_sandbox/deliveries">deliveries</a>'
        "</footer>"
    )


def _customers(ledger: Ledger) -> str:
    shown = "".join(_customer(ledger, one) for one in islice(ledger.newest_first("customer"), _MOST))
    return shown or "<p>None yet: create one with <code>POST /v1/customers</code>.</p>"


def _customer(ledger: Ledger, customer: Document) -> str:
    name = customer["name"] or customer["email"] or customer["id"]
    metadata = ", ".join(f"{key} = {value}" for key, value in customer["metadata"].items())
    rows = [_subscription_row(ledger, one) for one in subscriptions.subscriptions_of(ledger, customer["id"])]
    return (
        f"<article><h3>{escape(name)}</h3><p><code>{customer['id']}</code> {escape(metadata)}</p>"
        + (table(("Subscription", "Status", "Items", "Period ends", ""), rows) if rows else "")
        + _subscribe_form(ledger, customer["id"])
        + "</article>"
    )


def _subscription_row(ledger: Ledger, subscription: Document) -> list[str]:
    items = "<br>".join(_item(ledger, item) for item in subscription["items"])
    status = f'<span class="{subscription["status"]}">{subscription["status"]}</span>'
    id_ = f"<code>{subscription['id']}</code>"
    if subscription["ended_at"] is not None:
        return [id_, status, items, f"ended {moment(subscription['ended_at'])}", ""]
    ends = moment(min(item["current_period_end"] for item in subscription["items"]))
    if subscription["cancel_at"] is not None:
        ends += f"<br>cancels {moment(subscription['cancel_at'])}"
    button = (
        f'<form method="post" action="/_sandbox/cancel/{subscription["id"]}">'
        f'<button class="danger" aria-label="Cancel {subscription["id"]}">Cancel now</button></form>'
    )
    return [id_, status, items, ends, button]


def _item(ledger: Ledger, item: Document) -> str:
    quantity = f"{item['quantity']} x " if "quantity" in item else ""
    return quantity + price_line(ledger, ledger.require("price", item["price"]))


def _subscribe_form(ledger: Ledger, customer: str) -> str:
    sold = [one for one in ledger.newest_first("price") if one["active"] and one["recurring"]]
    choices = "".join(
        f'<label><input type="checkbox" name="items[{index}][price]" value="{price["id"]}">'
        f"{price_line(ledger, price)}</label>"
        for index, price in enumerate(reversed(sold[:_MOST]))
    )
    if not choices:
        return "<p>No recurring price yet: create one with <code>POST /v1/prices</code>.</p>"
    return (
        '<form method="post" action="/_sandbox/subscribe"><fieldset><legend>Subscribe to</legend>'
        f'<input type="hidden" name="customer" value="{customer}">{choices}'
        "<button>Subscribe</button></fieldset></form>"
    )


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
