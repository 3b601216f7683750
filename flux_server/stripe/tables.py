"""The Stripe link of an environment, what Stripe sent, what must be read again, and what is to be billed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from flux_server.database import metadata

__all__ = ["stripe_customers", "stripe_dirty", "stripe_events", "stripe_links", "stripe_outbox"]

stripe_links = Table(
    "stripe_links",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("token", String(64), nullable=False, unique=True),  # unguessable part of the webhook address
    Column("account", String(255), nullable=False),
    Column("livemode", Integer, nullable=False),
    Column("api_key", LargeBinary, nullable=False),  # encrypted
    Column("api_key_shown", String(32), nullable=False),  # kind and last four characters
    Column("webhook_secret", LargeBinary),  # encrypted
    Column("status", String(16), nullable=False),  # active | paused
    Column("paused_reason", Text),
    Column(
        "metadata_key", String(64), nullable=False
    ),  # of a customer: which metadata names the organization
    Column("created_at", BigInteger, nullable=False),
)

stripe_events = Table(
    "stripe_events",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("object_type", String(64)),
    Column("object_id", String(255)),
    Column("created_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

stripe_dirty = Table(  # objects whose present state must be read from Stripe
    "stripe_dirty",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("object_type", String(64), primary_key=True),
    Column("object_id", String(255), primary_key=True),
    Column("version", BigInteger, nullable=False),  # raised by each mark; cleared only if unchanged meanwhile
    Column("not_before", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Index("ix_stripe_dirty_not_before", "not_before"),
)

stripe_customers = Table(
    "stripe_customers",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("customer", String(255), primary_key=True),
    Column("organization", String(255)),
    Column("source", String(16), nullable=False),  # explicit | metadata
    Index("ix_stripe_customers_environment_organization", "environment", "organization"),
)

stripe_outbox = Table(  # each row is written, with its identifier, before it is first sent (stripe.md 3.3)
    "stripe_outbox",
    metadata,
    Column("identifier", String(100), primary_key=True),
    Column("environment", ForeignKey("environments.key"), nullable=False),
    Column("organization", String(255), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("bucket", BigInteger, nullable=False),
    Column("customer", String(255), nullable=False),
    Column("meter", String(255), nullable=False),
    Column("event_name", String(100), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # pending | sent | ambiguous | dead
    Column("attempts", Integer, nullable=False),
    Column(
        "unanswered", Integer, nullable=False
    ),  # attempts that may have arrived though no answer came back
    Column("first_attempt_at", BigInteger),
    Column("not_before", BigInteger, nullable=False),
    Column("error", Text),
    Index("ix_stripe_outbox_state_not_before", "state", "not_before"),
    Index("ix_stripe_outbox_slot", "environment", "organization", "metric", "bucket"),
)
