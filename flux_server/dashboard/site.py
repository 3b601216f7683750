"""What every page works with: the database, the clock, Stripe, passwords, cookies, templates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from flux_server.accounts.passwords import Passwords
from flux_server.dashboard.assets import Assets
from flux_server.dashboard.cookies import Cookies
from flux_server.dashboard.rendering import Templates
from flux_server.database import Database
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector

__all__ = ["Site"]


@dataclass(frozen=True, slots=True)
class Site:
    """Held by the application's state; pages reach it through their visit.

    `clock` tells the time of plans and periods, `wall` that of sessions and invitations.
    """

    settings: Settings
    database: Database
    connector: Connector
    clock: Callable[[], float]
    wall: Callable[[], float]
    passwords: Passwords
    cookies: Cookies
    assets: Assets
    templates: Templates
    exports: asyncio.Semaphore
