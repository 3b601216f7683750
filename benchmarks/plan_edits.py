"""What publishing a plan costs where a million organizations have it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from flux_middleware.snapshot import (
    Feature,
    Grant,
    OrganizationRecord,
    Subscription,
    SubscriptionItem,
    encode,
)
from flux_server.api.following import Follower
from flux_server.catalog.features import save_feature
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice
from flux_server.database import Database
from flux_server.environments.environments import ensure_environment
from flux_server.environments.revisions import current_revision
from flux_server.migrations.upgrade import upgrade
from flux_server.organizations.catalog_changes import apply_prices, preview_publication

__all__ = ["PlanEdit", "measure_plan_edit"]

_ENVIRONMENT = "test"
_PLACE = "@number@"

# One row of each table an organization, from number 1 to :most; SQLite makes a million of them in seconds.
_FILL = (
    "INSERT INTO organizations (environment, id, name, created_at, record) "
    "SELECT 'test', 'org-' || value, '', 0, CAST(replace(:record, :place, value) AS BLOB) "
    "FROM generate_numbers",
    "INSERT INTO subscriptions (environment, id, organization, status, synced_at) "
    "SELECT 'test', 'sub-' || value, 'org-' || value, 'active', 0 FROM generate_numbers",
    "INSERT INTO subscription_items (environment, id, subscription, price, plan_version, quantity, metered) "
    "SELECT 'test', 'si-' || value, 'sub-' || value, 'price_pro', 'pro@1', 1, 0 FROM generate_numbers",
)
_NUMBERS = (
    "WITH RECURSIVE generate_numbers(value) AS "
    "(SELECT 1 UNION ALL SELECT value + 1 FROM generate_numbers WHERE value < :most) "
)


@dataclass(frozen=True, slots=True)
class PlanEdit:
    """An edit: seconds to look at what it would change, seconds to make it, and how many changes followers get."""

    reached: int
    preview_s: float
    edit_s: float
    changes: int


def measure_plan_edit(organizations: int) -> PlanEdit:
    """Edit and publish a plan that so many organizations have."""
    return asyncio.run(_measure(organizations))


async def _measure(organizations: int) -> PlanEdit:
    with tempfile.TemporaryDirectory(prefix="flux-bench-") as directory:
        database = Database(f"sqlite+aiosqlite:///{Path(directory) / 'flux.sqlite3'}")
        try:
            await _sell(database)
            await _fill(database, organizations)
            before = await _revision(database)
            start = time.perf_counter()
            await _save(database)
            saved = time.perf_counter()
            reached = await _preview(database)
            previewed = time.perf_counter()
            await _publish(database)
            edit_s = saved - start + time.perf_counter() - previewed
            return PlanEdit(reached, previewed - saved, edit_s, await _changes(database, before))
        finally:
            await database.close()


async def _sell(database: Database) -> None:
    await upgrade(database)
    async with database.write() as connection:
        await ensure_environment(connection, _ENVIRONMENT, 0)
        await save_feature(connection, _ENVIRONMENT, Feature("seats", "limit"), 0)
        await save_plan(connection, _ENVIRONMENT, _pro(5), 0)
        await publish_plan(connection, _ENVIRONMENT, "pro", existing="stay", now=0)


async def _fill(database: Database, organizations: int) -> None:
    item = SubscriptionItem(f"si-{_PLACE}", "pro@1", price="price_pro")
    subscription = Subscription(f"sub-{_PLACE}", "active", (item,))
    record = encode(OrganizationRecord(f"org-{_PLACE}", subscriptions=(subscription,))).decode()
    async with database.write() as connection:
        for insertion in _FILL:
            parameters = {"most": organizations} | (
                {"record": record, "place": _PLACE} if ":record" in insertion else {}
            )
            into, _, source = insertion.partition("SELECT")
            await connection.execute(text(f"{into}{_NUMBERS}SELECT{source}"), parameters)


async def _save(database: Database) -> None:
    async with database.write() as connection:
        await save_plan(connection, _ENVIRONMENT, _pro(10), 1)
        await apply_prices(connection, _ENVIRONMENT, 1)


async def _preview(database: Database) -> int:
    async with database.read() as connection:
        return (await preview_publication(connection, _ENVIRONMENT, "pro")).subscribers["pro@1"]


async def _publish(database: Database) -> None:
    async with database.write() as connection:
        await publish_plan(connection, _ENVIRONMENT, "pro", existing="migrate", now=1)
        await apply_prices(connection, _ENVIRONMENT, 1)


async def _revision(database: Database) -> int:
    async with database.read() as connection:
        return await current_revision(connection, _ENVIRONMENT)


async def _changes(database: Database, since: int) -> int:
    async with database.read() as connection:
        return len((await Follower(_ENVIRONMENT, since, 0).advance(connection, 2)).sent)


def _pro(seats: int) -> PlanDraft:
    return PlanDraft("pro", prices=(PlanPrice("price_pro"),), grants=(Grant("seats", seats),))
