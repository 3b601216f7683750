"""Organizations, the record that workers receive of each, and overrides."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
)

from flux_server.database import metadata

__all__ = ["organizations", "outside_grants", "overrides"]

organizations = Table(
    "organizations",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column(
        "record", LargeBinary, nullable=False
    ),  # JSON of snapshot.OrganizationRecord, as workers receive it
)

outside_grants = Table(  # what somebody outside of Flux grants: Stripe, by its own entitlements
    "outside_grants",
    metadata,
    Column("environment", String(32), primary_key=True),
    Column("author", String(64), primary_key=True),
    Column("organization", String(255), primary_key=True),
    Column("feature", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["environment", "organization"], ["organizations.environment", "organizations.id"]),
    Index("ix_outside_grants_environment_organization", "environment", "organization"),
)

overrides = Table(
    "overrides",
    metadata,
    Column("environment", String(32), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("organization", String(255), nullable=False),
    Column("feature", String(64), nullable=False),
    Column("effect", String(16), nullable=False),
    Column("value", Text),  # JSON of snapshot.WireValue
    Column("since", BigInteger),
    Column("until", BigInteger),
    Column("enforcement", String(16), nullable=False),
    Column("author", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    ForeignKeyConstraint(["environment", "organization"], ["organizations.environment", "organizations.id"]),
    Index("ix_overrides_environment_organization", "environment", "organization"),
)
