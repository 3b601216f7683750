"""Subscriptions and their items, as last read from the payment processor, in its words for status."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKeyConstraint, Index, String, Table, false, text

from flux_server.database import metadata

__all__ = ["subscription_items", "subscriptions"]


def _where(condition: str) -> dict[str, Any]:
    """Have an index hold only such rows, in either kind of database."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


subscriptions = Table(
    "subscriptions",
    metadata,
    Column("environment", String(32), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("organization", String(255)),  # empty: nobody knows yet whose it is
    Column("status", String(64), nullable=False),
    Column("unknown_status", String(64)),  # what the processor says now, where `status` is kept from before
    Column("started_at", BigInteger),
    Column("trial_end", BigInteger),
    Column("cancel_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("past_due_since", BigInteger),
    Column(
        "pause_behavior", String(64)
    ),  # what the processor does with what falls due while it collects nothing
    Column("pause_since", BigInteger),
    Column("pause_resumes_at", BigInteger),
    Column("synced_at", BigInteger, nullable=False),
    ForeignKeyConstraint(["environment", "organization"], ["organizations.environment", "organizations.id"]),
    Index("ix_subscriptions_environment_organization", "environment", "organization"),
)

subscription_items = Table(
    "subscription_items",
    metadata,
    Column("environment", String(32), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("subscription", String(255), nullable=False),
    Column("price", String(255), nullable=False),
    Column("lookup_key", String(255)),  # of the price, as last read
    Column("product", String(255)),
    Column(
        "plan_version", String(80)
    ),  # as of when the item was first matched: `pro@1`; empty: price not mapped
    Column("quantity", BigInteger, nullable=False),
    Column("metered", Boolean, nullable=False),
    Column("meter", String(255)),  # of a metered item: the processor's meter
    Column("period_start", BigInteger),
    Column("period_end", BigInteger),
    Column("rematch", Boolean, nullable=False, server_default=false()),  # its price is another plan's now
    ForeignKeyConstraint(
        ["environment", "subscription"], ["subscriptions.environment", "subscriptions.id"], ondelete="CASCADE"
    ),
    Index("ix_subscription_items_environment_subscription", "environment", "subscription"),
    # Finds whom a price's items are still to be given to, and how many have a version, among millions of others.
    Index("ix_subscription_items_environment_plan_version_price", "environment", "plan_version", "price"),
    Index("ix_subscription_items_rematch", "environment", **_where("rematch")),
    Index("ix_subscription_items_lookup_key", "environment", "lookup_key", **_where("plan_version IS NULL")),
    Index("ix_subscription_items_product", "environment", "product", **_where("plan_version IS NULL")),
)
