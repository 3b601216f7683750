"""The sandbox as an ASGI application: Stripe's API, a page to look at and click, and what tests ask about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from flux_sandbox import (
    account_info,
    checkout,
    checkout_page,
    control,
    customers,
    disturbances,
    entitlements,
    event_destinations,
    events,
    invoices,
    meter_events,
    meters,
    page,
    prices,
    products,
    staging,
    subscription_items,
    subscription_schedules,
    subscriptions,
    usage_records,
    v2_events,
    webhook_endpoints,
)
from flux_sandbox.account import Account
from flux_sandbox.api import Api, Hold, Request, no_hold
from flux_sandbox.clock import Clock
from flux_sandbox.deliveries import RETRY_DELAYS, Deliveries
from flux_sandbox.hangup import HangUp
from flux_sandbox.idempotency import Answer
from flux_sandbox.passing import settle
from flux_sandbox.profile import Profile
from flux_sandbox.route import Route
from flux_sandbox.sandbox import Sandbox
from flux_sandbox.versions import checked_version

__all__ = ["ROUTES", "create_app"]

ROUTES: Final[tuple[Route, ...]] = (
    *account_info.ROUTES,
    *checkout.ROUTES,
    *customers.ROUTES,
    *entitlements.ROUTES,
    *event_destinations.ROUTES,
    *events.ROUTES,
    *invoices.ROUTES,
    *meter_events.ROUTES,
    *meters.ROUTES,
    *prices.ROUTES,
    *products.ROUTES,
    *subscription_items.ROUTES,
    *subscription_schedules.ROUTES,
    *subscriptions.ROUTES,
    *usage_records.ROUTES,
    *v2_events.ROUTES,
    *webhook_endpoints.ROUTES,
)
"""Everything of Stripe's API that there is."""

_TICK = 0.5

_Endpoint = Callable[[HttpRequest], Awaitable[Response]]


def create_app(
    *,
    clock: Callable[[], float] = time.time,
    hold: Hold = no_hold,
    retry_delays: tuple[float, ...] = RETRY_DELAYS,
    livemode: bool = False,
    account_id: str = Profile.id,
    api_version: str = Profile.api_version,
) -> Starlette:
    """Make a sandbox with an empty account.

    Args:
        clock: what it takes for the wall's time; `POST /_sandbox/clock` turns the account's time on from there.
        hold: awaited for each API request about to be carried out; it may wait, or raise a StripeError.
        retry_delays: seconds before each further attempt to deliver a webhook.
        livemode: play an account in live mode, which takes live keys and no others.
        account_id: which account it is.
        api_version: the version of requests that name none, and of events.
    """
    profile = Profile(account_id, livemode, checked_version(api_version))

    def make() -> Sandbox:
        account = Account(Clock(clock), profile)
        sandbox = Sandbox(account, Api(account, hold), Deliveries(account, retry_delays=retry_delays))
        account.on_event = sandbox.publish
        account.on_subscription = entitlements.follow
        return sandbox

    app = Starlette(
        routes=[
            *checkout_page.ROUTES,
            *control.ROUTES,
            *disturbances.ROUTES,
            *page.ROUTES,
            HttpRoute("/_sandbox/reset", _reset, methods=["POST"]),
            *(HttpRoute(one.path, _endpoint(one), methods=[one.method]) for one in ROUTES),
            *staging.ROUTES,
        ],
        exception_handlers={404: _unrecognized, 405: _unrecognized},
        lifespan=_lifespan,
    )
    app.router.redirect_slashes = False  # an empty id is no list, but an unknown path
    app.state.make_sandbox, app.state.sandbox = make, make()
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with AsyncExitStack() as app.state.running:
        await app.state.running.enter_async_context(app.state.sandbox.deliveries.running())
        passing = asyncio.create_task(_let_time_pass(app))
        try:
            yield
        finally:
            passing.cancel()


async def _let_time_pass(app: Starlette) -> None:
    """Let what is due happen although nobody asks."""
    while True:
        settle(app.state.sandbox.account)
        await asyncio.sleep(_TICK)


async def _reset(http: HttpRequest) -> Response:
    """Begin anew: an empty account, nothing planned, nothing on its way."""
    state = http.app.state
    await state.running.aclose()
    state.sandbox = state.make_sandbox()
    await state.running.enter_async_context(state.sandbox.deliveries.running())
    return JSONResponse({"reset": True})


async def _unrecognized(http: HttpRequest, _: Exception) -> Response:
    return await _answer(http, None)


def _endpoint(route: Route) -> _Endpoint:
    async def endpoint(http: HttpRequest) -> Response:
        return await _answer(http, route)

    return endpoint


async def _answer(http: HttpRequest, route: Route | None) -> Response:
    request = Request(
        method=http.method,
        path=http.url.path,
        headers=http.headers,
        query=http.url.query.encode(),
        body=await http.body(),
    )
    sandbox: Sandbox = http.app.state.sandbox
    sandbox.account.address = str(http.base_url).rstrip("/")
    return _response(await sandbox.api.answer(route, request, http.path_params.get("id", "")))


def _response(answer: Answer | None) -> Response:
    if answer is None:
        return HangUp()
    return Response(answer.body, answer.status, headers=dict(answer.headers))
