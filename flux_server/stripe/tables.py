"""The Stripe link of an environment, what Stripe sent, what must be read again, and what is to be billed."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from flux_server.database import metadata

__all__ = [
    "stripe_active_entitlements",
    "stripe_budgets",
    "stripe_customers",
    "stripe_dirty",
    "stripe_drift",
    "stripe_events",
    "stripe_forwarded",
    "stripe_links",
    "stripe_meters",
    "stripe_outbox",
    "stripe_prices",
    "stripe_subscriptions",
    "stripe_sweeps",
    "stripe_webhook_secrets",
]

stripe_links = Table(
    "stripe_links",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("token", String(64), nullable=False, unique=True),  # unguessable part of the webhook address
    Column("account", String(255), nullable=False),  # empty: whoever answers does not say
    Column("livemode", Boolean, nullable=False),
    Column("api_key", LargeBinary, nullable=False),  # encrypted
    Column("api_key_shown", String(32), nullable=False),  # kind and last four characters
    Column("status", String(16), nullable=False),  # active | paused
    Column("paused_reason", Text),
    Column("forwarding_paused", Text),  # why usage is not sent although the rest works
    # Which metadata of a customer, or of its subscription, names the organization.
    Column("metadata_key", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("endpoint", String(255)),  # the webhook endpoint at Stripe that Flux made for itself
    Column("endpoint_problem", Text),  # why it made none, or what is wrong with the one it made
    Column("permissions", Text),  # JSON: what the key was last found to be allowed, by the resource's name
    Column("reads", BigInteger, nullable=False, server_default="0"),  # numbers reads in the order they began
    Column("events_until", BigInteger),  # events created before this were asked for, whether or not they came
    Column("stripe_entitlements", Boolean, nullable=False, server_default=false()),  # they grant features too
    Column("refused", BigInteger, nullable=False, server_default="0"),  # webhooks since the link was made
    Column("refused_at", BigInteger),  # the last of them,
    Column("refused_reason", Text),  # and why
)

stripe_webhook_secrets = Table(  # any of an environment's may have signed what comes in
    "stripe_webhook_secrets",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column(
        "shown", String(32), nullable=False
    ),  # the last four characters; empty: stored before they were kept
    Column("kind", String(16), nullable=False),  # snapshot | thin: what the endpoint it belongs to sends
    Column("added_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),  # of one that was replaced: until when it is still taken
)

stripe_events = Table(
    "stripe_events",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("object_type", String(64)),
    Column("object_id", String(255)),
    Column("customer", String(255)),  # whose it is, where its body says so
    Column("created_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column(
        "deliveries", Integer, nullable=False
    ),  # none: its webhook never came, it was found in Stripe's list
    Column("body", LargeBinary, nullable=False),
    Column("kind", String(16), nullable=False, server_default="snapshot"),  # snapshot | thin
    Column("api_version", String(64)),
    Index("ix_stripe_events_environment_received_at", "environment", "received_at", "id"),
    Index("ix_stripe_events_environment_type", "environment", "type", "received_at", "id"),
    Index("ix_stripe_events_environment_object_id", "environment", "object_id"),
    Index("ix_stripe_events_environment_customer", "environment", "customer"),
    Index(
        "ix_stripe_events_missed",
        "environment",
        "received_at",
        "id",
        sqlite_where=text("deliveries = 0"),
        postgresql_where=text("deliveries = 0"),
    ),
)

stripe_dirty = Table(  # objects whose present state must be read from Stripe
    "stripe_dirty",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("object_type", String(64), primary_key=True),
    Column("object_id", String(255), primary_key=True),
    Column("version", BigInteger, nullable=False),  # raised by each mark; cleared only if unchanged meanwhile
    Column("not_before", BigInteger, nullable=False),
    Column("claim", String(32)),  # who reads it now; whoever finds another claim here has lost theirs
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
    Column("source", String(16), nullable=False),  # explicit | metadata | checkout
    Column("deleted", Boolean, nullable=False),
    Column("name", String(255)),  # for people: to find out whose customer it is
    Column("email", String(255)),
    Index("ix_stripe_customers_environment_organization", "environment", "organization"),
)

stripe_subscriptions = Table(  # what Stripe alone knows of a subscription in `subscriptions`
    "stripe_subscriptions",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("customer", String(255), nullable=False),
    Column("organization", String(255)),  # named by the subscription's own metadata
    # The number of the read that it was saved from: one that began before it has nothing new to say.
    Column("read", BigInteger, nullable=False, server_default="0"),
    Index("ix_stripe_subscriptions_environment_customer", "environment", "customer"),
)

stripe_prices = (
    Table(  # as last read: for matching by lookup key or product, and to say what an id stands for
        "stripe_prices",
        metadata,
        Column("environment", ForeignKey("environments.key"), primary_key=True),
        Column("id", String(255), primary_key=True),
        Column("product", String(255), nullable=False),
        Column("product_name", String(255)),
        Column("lookup_key", String(255)),
        Column("description", String(255), nullable=False),  # such as "12.00 EUR / month"
        Column("metered", Boolean, nullable=False),
        Column("meter", String(255)),
        Column("active", Boolean, nullable=False),
    )
)

stripe_active_entitlements = Table(  # what Stripe itself says a customer is entitled to
    "stripe_active_entitlements",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("customer", String(255), primary_key=True),
    Column("lookup_key", String(255), primary_key=True),
    Column("id", String(255), nullable=False),
)

stripe_sweeps = Table(  # each reading of all subscriptions: its progress, and what it found
    "stripe_sweeps",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column(
        "reason", String(32), nullable=False
    ),  # linked | nightly | asked | resumed | many-dirty | lost-events
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("after", String(255)),  # the last subscription of the pages that were read
    Column(
        "listed", Boolean, nullable=False, server_default=false()
    ),  # all pages were read; what was in none of them is still to be
    Column(
        "read", BigInteger
    ),  # the number of its first read: what was saved from an older one, it has not seen
    Column("seen", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),
    Column("error", Text),
    Column("claim", String(32)),  # who reads now; whoever finds another claim here has lost theirs
    Column("lease_until", BigInteger, nullable=False, server_default="0"),  # nobody else may go on before
    Column("attempts", Integer, nullable=False, server_default="0"),  # that failed in a row
    Index("ix_stripe_sweeps_environment_started_at", "environment", "started_at"),
)

stripe_drift = Table(  # what a sweep found to differ from what Flux believed to be so
    "stripe_drift",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("sweep", String(32), primary_key=True),
    Column("object_type", String(64), primary_key=True),
    Column("object_id", String(255), primary_key=True),
    Column("organization", String(255)),
    Column("differences", Text, nullable=False),  # JSON: [[field, before, after], …]
    Column("since", BigInteger),  # when Flux last read it; it changed at Stripe after that
    Column("found_at", BigInteger, nullable=False),
    Column("repair", String(32), nullable=False),  # saved | ended | added
)

stripe_budgets = Table(  # how fast each part of Stripe's API may be asked, by all processes together
    "stripe_budgets",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("endpoint", String(64), primary_key=True),
    Column("free_at", BigInteger, nullable=False),  # milliseconds: when the next call may be made
    Column("apart", Integer, nullable=False),  # milliseconds between two calls
)

stripe_meters = Table(
    "stripe_meters",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("id", String(255), primary_key=True),
    Column("event_name", String(100), nullable=False),
    Column("customer_key", String(100), nullable=False),  # where in an event's payload the customer stands,
    Column("value_key", String(100), nullable=False),  # and where the value
    Column("formula", String(16), nullable=False),  # sum | count | last
    Column("time_window", String(16)),  # hour | day: only the last event of a window counts
    Column("active", Boolean, nullable=False),
)

stripe_forwarded = Table(  # up to which usage revision an organization's ledger has been put in the outbox
    "stripe_forwarded",
    metadata,
    Column("environment", ForeignKey("environments.key"), primary_key=True),
    Column("organization", String(255), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("usage_revision", BigInteger, nullable=False),
)

stripe_outbox = Table(  # each row is written, with its identifier, before it is first sent (stripe.md 3.3)
    "stripe_outbox",
    metadata,
    Column("identifier", String(100), primary_key=True),
    Column("environment", ForeignKey("environments.key"), nullable=False),
    Column("organization", String(255), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("bucket", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("sink", String(16), nullable=False),
    Column("customer", String(255), nullable=False),
    Column("meter", String(255), nullable=False),
    Column("event_name", String(100), nullable=False),
    Column("payload", Text, nullable=False),  # JSON, exactly as every attempt sends it
    Column("value", BigInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # pending | sent | ambiguous | dead
    Column("attempts", Integer, nullable=False),
    Column(
        "unanswered_since", BigInteger
    ),  # the oldest attempt that may have arrived, though nothing says so
    Column("not_before", BigInteger, nullable=False),
    Column("claim", String(32)),
    Column("lease_until", BigInteger, nullable=False),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    Index("ix_stripe_outbox_slot", "environment", "organization", "metric", "bucket"),
    Index(
        "ix_stripe_outbox_due",
        "environment",
        "not_before",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_stripe_outbox_queue",
        "environment",
        "customer",
        "meter",
        "bucket",
        "revision",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)
