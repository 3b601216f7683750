"""Environments, their revision log and their API keys."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from flux_server.database import metadata

__all__ = ["api_keys", "changes", "environments", "history", "kept_answers", "revisions"]

environments = Table(
    "environments",
    metadata,
    Column("key", String(32), primary_key=True),
    Column(
        "instance", String(32), nullable=False
    ),  # new whenever the environment is made, so that a host's store
    Column(
        "created_at", BigInteger, nullable=False
    ),  # of another database under the same address is not trusted
    Column("default_plan", String(64)),
    Column("policy", Text, nullable=False),  # JSON of catalog.StatusPolicy
)

revisions = Table(  # one row a counter: `changes` for what followers apply, `usage` for standings
    "revisions",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("log", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

changes = (
    Table(  # what a follower must look at again; it reads the present state, so a row carries no payload
        "changes",
        metadata,
        Column("environment", ForeignKey("environments.key"), primary_key=True),
        Column("revision", BigInteger, primary_key=True, autoincrement=False),
        Column("kind", String(16), nullable=False),  # catalog | organization
        Column("organization", String(255)),
        Column("at", BigInteger, nullable=False),
    )
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("environment", ForeignKey("environments.key"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("scope", String(16), nullable=False),  # sdk | read | admin
    Column("prefix", String(64), nullable=False),  # what the dashboard shows of it
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256: the key has 256 bits of its own
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

kept_answers = Table(  # what was answered to a request that carried an Idempotency-Key
    "kept_answers",
    metadata,
    Column("api_key", ForeignKey("api_keys.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request", String(64), nullable=False),  # SHA-256 of method, address and body
    Column("answer", LargeBinary),  # encrypted; empty: it was too large to keep
    Column("at", BigInteger, nullable=False),
    Index("ix_kept_answers_at", "at"),
)

history = Table(  # how a subject stood from `at` on, until the next row of the same subject
    "history",
    metadata,
    # SQLite counts up only what it calls INTEGER.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("environment", ForeignKey("environments.key"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("kind", String(16), nullable=False),  # see history.Kind
    Column("subject", String(255), nullable=False),
    Column("state", Text),  # JSON; empty: there was none from then on
    Index("ix_history_environment_kind_subject_id", "environment", "kind", "subject", "id"),
    Index("ix_history_environment_id", "environment", "id"),
)
