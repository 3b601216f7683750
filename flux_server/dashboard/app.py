"""The dashboard as an application of its own, beside the API on the same port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from flux_server.accounts.passwords import Passwords
from flux_server.dashboard import assets
from flux_server.dashboard.assets import Assets
from flux_server.dashboard.cookies import Cookies
from flux_server.dashboard.errors import install_error_pages
from flux_server.dashboard.headers import SecurityHeaders
from flux_server.dashboard.pages import (
    account,
    api_keys,
    copying,
    entrance,
    features,
    history,
    imports,
    organization,
    organizations,
    overrides,
    overview,
    people,
    plans,
    policies,
    publishing,
    stripe,
    stripe_drift,
    stripe_events,
    stripe_health,
    stripe_quarantine,
)
from flux_server.dashboard.rendering import Templates
from flux_server.dashboard.site import Site
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector

__all__ = ["WithDashboard", "create_dashboard"]

_API = re.compile(r"/(v\d+(/.*)?|healthz|metrics)\Z", re.DOTALL)  # of any version: a program wants no page

_EXPORTS_AT_ONCE = 2


def create_dashboard(
    settings: Settings, connector: Connector, clock: Callable[[], float], wall: Callable[[], float]
) -> FastAPI:
    """Return the dashboard. `settings` must have the secret key (`settings.prepare`)."""
    dashboard = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    files = Assets()
    dashboard.state.site = Site(
        settings=settings,
        database=connector.database,
        connector=connector,
        clock=clock,
        wall=wall,
        passwords=Passwords(),
        cookies=Cookies(settings),
        assets=files,
        templates=Templates(files),
        exports=asyncio.Semaphore(_EXPORTS_AT_ONCE),
    )
    install_error_pages(dashboard)
    for page in (assets, entrance, account, people):
        dashboard.include_router(page.router)
    # The pages of environments come last: their addresses begin with any word.
    catalog = (features, plans, publishing, policies, copying)
    of_stripe = (stripe, stripe_health, stripe_events, stripe_drift, stripe_quarantine)
    of_organizations = (organizations, imports, organization, overrides)
    for page in (overview, *catalog, *of_organizations, *of_stripe, api_keys, history):
        dashboard.include_router(page.router)
    return dashboard


class WithDashboard:
    """Show the dashboard at every address that is not the API's."""

    def __init__(self, app: ASGIApp, dashboard: FastAPI) -> None:
        self.app = app
        self.dashboard = SecurityHeaders(dashboard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pages = scope["type"] == "http" and not _API.match(scope["path"])
        await (self.dashboard if pages else self.app)(scope, receive, send)
