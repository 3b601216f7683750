"""Features, metrics, plans, their versions and their prices."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, ForeignKeyConstraint, Integer, String, Table, Text

from flux_server.database import metadata

__all__ = ["features", "metrics", "plan_prices", "plan_versions", "plans"]

features = Table(
    "features",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("merge", String(16), nullable=False),
    Column("metric", String(64)),
    Column("reset", String(16), nullable=False),
    Column("enforcement", String(16), nullable=False),
    Column("archived_at", BigInteger),
)

metrics = Table(
    "metrics",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("unit", String(64), nullable=False),
    Column("aggregation", String(16), nullable=False),
    Column("archived_at", BigInteger),
)

plans = Table(
    "plans",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False),
    Column("kind", String(16), nullable=False),  # base | addon
    Column("policy", Text),  # JSON of catalog.StatusPolicy; empty: the environment's
    Column("archived_at", BigInteger),
)

plan_versions = Table(  # at most one draft a plan; a published row changes only in `replaced_by`
    "plan_versions",
    metadata,
    Column("environment", String(32), primary_key=True),
    Column("plan", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("grants", Text, nullable=False),  # JSON, a list of snapshot.Grant
    Column("published_at", BigInteger),
    Column("replaced_by", Integer),
    ForeignKeyConstraint(["environment", "plan"], ["plans.environment", "plans.key"]),
)

plan_prices = Table(  # the primary key holds "a price belongs to one plan only"
    "plan_prices",
    metadata,
    Column("environment", String(32), primary_key=True),
    Column("price", String(255), primary_key=True),
    Column("plan", String(64), nullable=False),
    Column("metric", String(64)),  # of a metered price: the metric it bills
    ForeignKeyConstraint(["environment", "plan"], ["plans.environment", "plans.key"]),
)
