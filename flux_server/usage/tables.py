"""Usage: what each source has counted, the sum over sources, and what changed last."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table

from flux_server.database import metadata

__all__ = ["usage_buckets", "usage_standings", "usage_totals"]

usage_totals = Table(  # the largest total that each source has sent for a slot; resending cannot change it
    "usage_totals",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("organization", String(255), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("source", String(32), primary_key=True),
    Column("total", BigInteger, nullable=False),
)

usage_buckets = Table(  # the ledger: the sum of `usage_totals` over sources, kept in the same transaction
    "usage_buckets",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("organization", String(255), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),  # its first second
    Column("quantity", BigInteger, nullable=False),
)

usage_standings = Table(  # an organization's usage of a metric in the period it was last counted for
    "usage_standings",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("organization", String(255), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("revision", BigInteger, nullable=False),  # usage revision of the last change
    Column("period_start", BigInteger, nullable=False),
    Column("period_end", BigInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),  # sum of the period's buckets
    Index("ix_usage_standings_environment_revision", "environment", "revision"),
)
