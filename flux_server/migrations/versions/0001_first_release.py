"""Every table of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "environments",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("instance", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("default_plan", sa.String(length=64), nullable=True),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_environments")),
    )
    op.create_table(
        "invitations",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_invitations")),
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_attempts")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("prefix", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_api_keys_environment_environments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "changes",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_changes_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "revision", name=op.f("pk_changes")),
    )
    op.create_table(
        "history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_history_environment_environments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
    )
    with op.batch_alter_table("history", schema=None) as batch_op:
        batch_op.create_index(
            "ix_history_environment_kind_subject_id",
            ["environment", "kind", "subject", "id"],
            unique=False,
        )
        batch_op.create_index("ix_history_environment_id", ["environment", "id"], unique=False)

    op.create_table(
        "kept_answers",
        sa.Column("api_key", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["api_key"], ["api_keys.id"], name=op.f("fk_kept_answers_api_key_api_keys")),
        sa.PrimaryKeyConstraint("api_key", "key", name=op.f("pk_kept_answers")),
    )
    with op.batch_alter_table("kept_answers", schema=None) as batch_op:
        batch_op.create_index("ix_kept_answers_at", ["at"], unique=False)

    op.create_table(
        "features",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("merge", sa.String(length=16), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=True),
        sa.Column("reset", sa.String(length=16), nullable=False),
        sa.Column("enforcement", sa.String(length=16), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_features_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "key", name=op.f("pk_features")),
    )
    op.create_table(
        "metrics",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("aggregation", sa.String(length=16), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_metrics_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "key", name=op.f("pk_metrics")),
    )
    op.create_table(
        "organizations",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_organizations_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "plans",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_plans_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "key", name=op.f("pk_plans")),
    )
    op.create_table(
        "revisions",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("log", sa.String(length=16), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_revisions_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "log", name=op.f("pk_revisions")),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=32), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user"], ["users.id"], name=op.f("fk_sessions_user_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_user"), ["user"], unique=False)

    op.create_table(
        "stripe_customers",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("customer", sa.String(length=255), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_customers_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "customer", name=op.f("pk_stripe_customers")),
    )
    with op.batch_alter_table("stripe_customers", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stripe_customers_environment_organization", ["environment", "organization"], unique=False
        )

    op.create_table(
        "stripe_dirty",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("object_type", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_dirty_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "object_type", "object_id", name=op.f("pk_stripe_dirty")),
    )
    with op.batch_alter_table("stripe_dirty", schema=None) as batch_op:
        batch_op.create_index("ix_stripe_dirty_not_before", ["not_before"], unique=False)

    op.create_table(
        "stripe_events",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("object_type", sa.String(length=64), nullable=True),
        sa.Column("object_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_events_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_stripe_events")),
    )
    op.create_table(
        "stripe_forwarded",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("usage_revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_forwarded_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "organization", "metric", name=op.f("pk_stripe_forwarded")),
    )
    op.create_table(
        "stripe_links",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("api_key", sa.LargeBinary(), nullable=False),
        sa.Column("api_key_shown", sa.String(length=32), nullable=False),
        sa.Column("webhook_secret", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("forwarding_paused", sa.Text(), nullable=True),
        sa.Column("metadata_key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_links_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", name=op.f("pk_stripe_links")),
        sa.UniqueConstraint("token", name=op.f("uq_stripe_links_token")),
    )
    op.create_table(
        "stripe_meters",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("event_name", sa.String(length=100), nullable=False),
        sa.Column("customer_key", sa.String(length=100), nullable=False),
        sa.Column("value_key", sa.String(length=100), nullable=False),
        sa.Column("formula", sa.String(length=16), nullable=False),
        sa.Column("time_window", sa.String(length=16), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_meters_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_stripe_meters")),
    )
    op.create_table(
        "stripe_outbox",
        sa.Column("identifier", sa.String(length=100), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sink", sa.String(length=16), nullable=False),
        sa.Column("customer", sa.String(length=255), nullable=False),
        sa.Column("meter", sa.String(length=255), nullable=False),
        sa.Column("event_name", sa.String(length=100), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("unanswered_since", sa.BigInteger(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_outbox_environment_environments")
        ),
        sa.PrimaryKeyConstraint("identifier", name=op.f("pk_stripe_outbox")),
    )
    with op.batch_alter_table("stripe_outbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stripe_outbox_due",
            ["environment", "not_before"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            "ix_stripe_outbox_queue",
            ["environment", "customer", "meter", "bucket", "revision"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            "ix_stripe_outbox_slot", ["environment", "organization", "metric", "bucket"], unique=False
        )

    op.create_table(
        "stripe_subscriptions",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("customer", sa.String(length=255), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"],
            ["environments.key"],
            name=op.f("fk_stripe_subscriptions_environment_environments"),
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_stripe_subscriptions")),
    )
    with op.batch_alter_table("stripe_subscriptions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stripe_subscriptions_environment_customer", ["environment", "customer"], unique=False
        )

    op.create_table(
        "usage_buckets",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_usage_buckets_environment_environments")
        ),
        sa.PrimaryKeyConstraint(
            "environment", "organization", "metric", "bucket", name=op.f("pk_usage_buckets")
        ),
    )
    op.create_table(
        "usage_standings",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("period_start", sa.BigInteger(), nullable=False),
        sa.Column("period_end", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_usage_standings_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "organization", "metric", name=op.f("pk_usage_standings")),
    )
    with op.batch_alter_table("usage_standings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_usage_standings_environment_revision", ["environment", "revision"], unique=False
        )

    op.create_table(
        "usage_totals",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_usage_totals_environment_environments")
        ),
        sa.PrimaryKeyConstraint(
            "environment", "organization", "metric", "bucket", "source", name=op.f("pk_usage_totals")
        ),
    )
    op.create_table(
        "overrides",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("feature", sa.String(length=64), nullable=False),
        sa.Column("effect", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("enforcement", sa.String(length=16), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment", "organization"],
            ["organizations.environment", "organizations.id"],
            name=op.f("fk_overrides_environment_organization_organizations"),
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_overrides")),
    )
    with op.batch_alter_table("overrides", schema=None) as batch_op:
        batch_op.create_index(
            "ix_overrides_environment_organization", ["environment", "organization"], unique=False
        )

    op.create_table(
        "plan_prices",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("price", sa.String(length=255), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment", "plan"],
            ["plans.environment", "plans.key"],
            name=op.f("fk_plan_prices_environment_plan_plans"),
        ),
        sa.PrimaryKeyConstraint("environment", "price", name=op.f("pk_plan_prices")),
    )
    op.create_table(
        "plan_versions",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("replaced_by", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment", "plan"],
            ["plans.environment", "plans.key"],
            name=op.f("fk_plan_versions_environment_plan_plans"),
        ),
        sa.PrimaryKeyConstraint("environment", "plan", "version", name=op.f("pk_plan_versions")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("unknown_status", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("trial_end", sa.BigInteger(), nullable=True),
        sa.Column("cancel_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("past_due_since", sa.BigInteger(), nullable=True),
        sa.Column("pause_behavior", sa.String(length=64), nullable=True),
        sa.Column("pause_since", sa.BigInteger(), nullable=True),
        sa.Column("pause_resumes_at", sa.BigInteger(), nullable=True),
        sa.Column("synced_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment", "organization"],
            ["organizations.environment", "organizations.id"],
            name=op.f("fk_subscriptions_environment_organization_organizations"),
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_subscriptions")),
    )
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_subscriptions_environment_organization", ["environment", "organization"], unique=False
        )

    op.create_table(
        "subscription_items",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("subscription", sa.String(length=255), nullable=False),
        sa.Column("price", sa.String(length=255), nullable=False),
        sa.Column("plan_version", sa.String(length=80), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("metered", sa.Boolean(), nullable=False),
        sa.Column("meter", sa.String(length=255), nullable=True),
        sa.Column("period_start", sa.BigInteger(), nullable=True),
        sa.Column("period_end", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment", "subscription"],
            ["subscriptions.environment", "subscriptions.id"],
            name=op.f("fk_subscription_items_environment_subscription_subscriptions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_subscription_items")),
    )
    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.create_index(
            "ix_subscription_items_environment_plan_version_price",
            ["environment", "plan_version", "price"],
            unique=False,
        )
        batch_op.create_index(
            "ix_subscription_items_environment_subscription", ["environment", "subscription"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.drop_index("ix_subscription_items_environment_subscription")
        batch_op.drop_index("ix_subscription_items_environment_plan_version_price")

    op.drop_table("subscription_items")
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.drop_index("ix_subscriptions_environment_organization")

    op.drop_table("subscriptions")
    op.drop_table("plan_versions")
    op.drop_table("plan_prices")
    with op.batch_alter_table("overrides", schema=None) as batch_op:
        batch_op.drop_index("ix_overrides_environment_organization")

    op.drop_table("overrides")
    op.drop_table("usage_totals")
    with op.batch_alter_table("usage_standings", schema=None) as batch_op:
        batch_op.drop_index("ix_usage_standings_environment_revision")

    op.drop_table("usage_standings")
    op.drop_table("usage_buckets")
    with op.batch_alter_table("stripe_subscriptions", schema=None) as batch_op:
        batch_op.drop_index("ix_stripe_subscriptions_environment_customer")

    op.drop_table("stripe_subscriptions")
    with op.batch_alter_table("stripe_outbox", schema=None) as batch_op:
        batch_op.drop_index("ix_stripe_outbox_slot")
        batch_op.drop_index(
            "ix_stripe_outbox_queue",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.drop_index(
            "ix_stripe_outbox_due",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )

    op.drop_table("stripe_outbox")
    op.drop_table("stripe_meters")
    op.drop_table("stripe_links")
    op.drop_table("stripe_forwarded")
    op.drop_table("stripe_events")
    with op.batch_alter_table("stripe_dirty", schema=None) as batch_op:
        batch_op.drop_index("ix_stripe_dirty_not_before")

    op.drop_table("stripe_dirty")
    with op.batch_alter_table("stripe_customers", schema=None) as batch_op:
        batch_op.drop_index("ix_stripe_customers_environment_organization")

    op.drop_table("stripe_customers")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sessions_user"))

    op.drop_table("sessions")
    op.drop_table("revisions")
    op.drop_table("plans")
    op.drop_table("organizations")
    op.drop_table("metrics")
    op.drop_table("features")
    with op.batch_alter_table("kept_answers", schema=None) as batch_op:
        batch_op.drop_index("ix_kept_answers_at")

    op.drop_table("kept_answers")
    with op.batch_alter_table("history", schema=None) as batch_op:
        batch_op.drop_index("ix_history_environment_id")
        batch_op.drop_index("ix_history_environment_kind_subject_id")

    op.drop_table("history")
    op.drop_table("changes")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_table("sign_in_attempts")
    op.drop_table("invitations")
    op.drop_table("environments")
