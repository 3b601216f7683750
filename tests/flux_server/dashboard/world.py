"""An environment with something of everything, and the pages that show it."""

from __future__ import annotations

import json

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Grant, Metric, UsageBatch, UsageSlot
from flux_server.catalog.features import save_feature, save_metric
from flux_server.catalog.plans import PlanDraft, save_plan, set_default_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice
from flux_server.environments.api_keys import create_api_key
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.overrides import add_override
from flux_server.organizations.records import refresh_record
from flux_server.stripe.tables import stripe_drift, stripe_subscriptions, stripe_sweeps
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, save_subscription
from flux_server.usage.ingest import ingest
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.logged import log_event

__all__ = ["PAGES", "furnish"]

DAY = 86_400

PAGES = (
    "/test",
    "/live",
    "/test/plans",
    "/test/plan?key=pro",
    "/test/plan/edit",
    "/test/plan/edit?key=pro",
    "/test/plan/publish?key=pro",
    "/test/plan/policy?key=pro",
    "/test/policy",
    "/test/copy-catalog",
    "/test/features",
    "/test/feature",
    "/test/feature?key=seats",
    "/test/metric",
    "/test/metric?key=calls",
    "/test/organizations",
    "/test/organizations/import",
    "/test/organization/new",
    "/test/organization?id=acme",
    "/test/organization?id=acme&at=2025-10-09T12:00",
    "/test/organization/history?id=acme",
    "/test/history",
    "/test/history?kind=plan&subject=pro",
    "/test/stripe",
    "/live/stripe",
    "/test/stripe/health",
    "/live/stripe/health",
    "/live/stripe/doctor",
    "/test/stripe/events",
    "/test/stripe/event?id=evt_1",
    "/test/stripe/drift",
    "/test/stripe/sweep?id=sweep-1",
    "/test/stripe/quarantine",
    "/test/api-keys",
    "/people",
    "/account",
)
"""Every page that one can look at while signed in."""


def furnish(server: RunningServer, organization: str = "acme") -> None:
    """Fill the environment `test`: plans free and pro, a subscribed organization with an override and usage."""
    server.write(_define)
    server.write(lambda connection: _subscribe(connection, organization))
    server.write(_hear)


async def _define(connection: AsyncConnection) -> None:
    await save_feature(connection, "test", Feature("sso", "boolean", name="Single sign-on"), NOON)
    await save_feature(connection, "test", Feature("audit-logs", "boolean"), NOON)
    await save_feature(connection, "test", Feature("seats", "limit"), NOON)
    await save_metric(connection, "test", Metric("calls", name="API calls", unit="call"), NOON)
    limit = Feature("calls-per-month", "limit", metric="calls", reset="month")
    await save_feature(connection, "test", limit, NOON)
    await save_plan(connection, "test", PlanDraft("free", grants=(Grant("seats", 1),)), NOON)
    await publish_plan(connection, "test", "free", existing="stay", now=NOON)
    await set_default_plan(connection, "test", "free", NOON)
    prices = (PlanPrice("price_pro"), PlanPrice("price_calls", "calls"))
    grants = (Grant("calls-per-month", 1_000), Grant("seats", 10), Grant("sso", True))
    await save_plan(connection, "test", PlanDraft("pro", "Pro", "base", prices, grants), NOON)
    await publish_plan(connection, "test", "pro", existing="stay", now=NOON)
    draft = PlanDraft("pro", "Pro", "base", prices, (*grants, Grant("audit-logs", True)))
    await save_plan(connection, "test", draft, NOON)
    await create_api_key(connection, "test", name="web", scope="sdk", now=NOON)


async def _subscribe(connection: AsyncConnection, organization: str) -> None:
    await ensure_organization(connection, "test", organization, name="Acme Inc.", now=NOON)
    start, end = NOON - 9 * DAY, NOON + 21 * DAY
    items = (
        ItemState("si_1", "price_pro", period_start=start, period_end=end),
        ItemState("si_2", "price_of_no_plan", 2, period_start=start, period_end=end),
    )
    state = SubscriptionState("sub_1", "active", organization, items, started_at=start)
    await save_subscription(connection, "test", state, NOON)
    await add_override(
        connection,
        "test",
        organization,
        feature="seats",
        effect="add",
        value=3,
        until=NOON + 5 * DAY,
        author="bob@example.com",
        reason="a pilot",
        now=NOON,
    )
    await refresh_record(connection, "test", organization, NOON)
    slots = tuple(UsageSlot(organization, "calls", NOON - day * DAY, 100 + day) for day in range(1, 8, 2))
    receipt = await ingest(connection, "test", UsageBatch("worker", slots), NOON)
    assert receipt.errors == ()


async def _hear(connection: AsyncConnection) -> None:
    await log_event(connection, "evt_1", NOON)
    await log_event(connection, "evt_2", NOON - 60, deliveries=0)
    await log_event(
        connection, "evt_3", NOON - 90, deliveries=3, kind="thin", api_version="2026-10-28.endive"
    )
    started = {"environment": "test", "reason": "nightly", "started_at": NOON - DAY}
    read = {"finished_at": NOON - DAY + 60, "seen": 40, "drifted": 1}
    await connection.execute(insert(stripe_sweeps).values(id="sweep-1", **started, **read))
    differences = [["status", "active", "past_due"], ["cancel_at", None, NOON], ["si_1.quantity", 1, 1_200]]
    found = {"object_type": "subscription", "object_id": "sub_1", "organization": "acme", "repair": "saved"}
    moments = {"since": NOON - 2 * DAY, "found_at": NOON - DAY + 5}
    drift = {"environment": "test", "sweep": "sweep-1", "differences": json.dumps(differences)}
    await connection.execute(insert(stripe_drift).values(drift | found | moments))
    ours = {"environment": "test", "id": "sub_nobody", "customer": "cus_nobody"}
    item = ItemState("si_9", "price_stray", period_start=NOON, period_end=NOON + DAY)
    await save_subscription(
        connection, "test", SubscriptionState("sub_nobody", "active", None, (item,)), NOON
    )
    await connection.execute(insert(stripe_subscriptions).values(ours))
