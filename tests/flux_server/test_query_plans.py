"""SQLite's plans: what is wanted of a few organizations is looked up, and nobody goes through all of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Metric, UsageBatch, UsageSlot
from flux_server.catalog.features import save_metric
from flux_server.database import Database
from flux_server.environments.history import read_history
from flux_server.organizations.records import read_overrides_of, read_records
from flux_server.stripe.customers import map_customers
from flux_server.stripe.event_log import EventSearch, prune_events, search_events
from flux_server.subscriptions.subscriptions import read_subscriptions_of
from flux_server.usage.ingest import ingest
from flux_server.usage.reading import standings_of
from tests.flux_server.running import NOON
from tests.flux_server.stripe.logged import log_event

ENV = "test"
NAMES = [f"org-{number}" for number in range(300)]
SLOTS = tuple(UsageSlot(name, "calls", NOON, 1) for name in NAMES)

Work = Callable[[AsyncConnection], Awaitable[Any]]


@pytest.fixture
def copied(sqlite_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "flux.sqlite3"))


async def plans_of(connection: AsyncConnection, work: Work) -> str:
    """Do the work, and return how SQLite finds the rows of each of its statements."""
    engine = connection.sync_connection.engine  # type: ignore[union-attr]  # it is connected
    statements: list[tuple[str, Any]] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        statements.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    event.listen(engine, "before_cursor_execute", note)
    await work(connection)
    event.remove(engine, "before_cursor_execute", note)
    lines = []
    for statement, parameters in statements:
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        lines += [row.detail for row in plan]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda c: read_records(c, ENV, NAMES), id="records"),
        pytest.param(lambda c: read_overrides_of(c, ENV, NAMES), id="overrides"),
        pytest.param(lambda c: read_subscriptions_of(c, ENV, NAMES), id="subscriptions"),
        pytest.param(lambda c: map_customers(c, ENV, {"cus_1": "a", "cus_2": "b"}, NOON), id="customers"),
        pytest.param(lambda c: standings_of(c, ENV, NAMES, NOON), id="standings"),
        pytest.param(lambda c: ingest(c, ENV, UsageBatch("s", SLOTS), NOON), id="usage"),
        pytest.param(lambda c: read_history(c, ENV, kinds=["record"], subject="a", limit=9), id="history"),
        pytest.param(lambda c: search_events(c, ENV, EventSearch("cus_1"), limit=9), id="events"),
    ],
)
async def test_a_few_organizations_are_looked_up(copied: Path, work: Work) -> None:
    database = Database(f"sqlite+aiosqlite:///{copied}")
    async with database.write() as connection:
        await save_metric(connection, ENV, Metric("calls"), NOON)
        await ingest(connection, ENV, UsageBatch("s", SLOTS[:1]), NOON)
        plans = await plans_of(connection, work)
    await database.close()

    assert "SEARCH" in plans
    grow = r"organizations|overrides|subscriptions|subscription_items|stripe_\w+|usage_\w+|history|h"
    through_all = rf"SEARCH ({grow}) USING (COVERING )?INDEX \w+ \(environment=\?\)"
    assert re.findall(through_all, plans) == []
    assert re.findall(rf"SCAN ({grow})", plans) == []


@pytest.mark.parametrize(
    ("search", "index"),
    [
        pytest.param(EventSearch(), "received_at (environment=? AND (received_at,id)<(?,?))", id="all"),
        pytest.param(
            EventSearch(since=NOON),
            "received_at (environment=? AND received_at>? AND (received_at,id)<(?,?))",
            id="since",
        ),
        pytest.param(
            EventSearch(type="a"), "type (environment=? AND type=? AND (received_at,id)<(?,?))", id="type"
        ),
        pytest.param(
            EventSearch(missed=True), "missed (environment=? AND (received_at,id)<(?,?))", id="missed"
        ),
    ],
)
async def test_a_page_of_events_begins_where_the_one_before_ended(
    copied: Path, search: EventSearch, index: str
) -> None:
    database = Database(f"sqlite+aiosqlite:///{copied}")
    async with database.read() as connection:
        plans = await plans_of(
            connection, lambda c: search_events(c, ENV, search, before=(NOON, "evt_1"), limit=9)
        )
    await database.close()

    assert index in plans
    assert "TEMP B-TREE" not in plans


async def test_events_are_forgotten_by_their_age(copied: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{copied}")
    async with database.write() as connection:
        await log_event(connection, "evt_1", NOON)
        plans = await plans_of(connection, lambda c: prune_events(c, ENV, before=NOON + 1))
    await database.close()

    assert plans.count("stripe_events USING") == plans.count("received_at<?)") == 2
