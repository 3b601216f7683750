"""Following Stripe in full."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_ITEM_INDEXES = (
    ("ix_subscription_items_rematch", (), "rematch"),
    ("ix_subscription_items_lookup_key", ("lookup_key",), "plan_version IS NULL"),
    ("ix_subscription_items_product", ("product",), "plan_version IS NULL"),
)


def upgrade() -> None:
    op.create_table(
        "outside_grants",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("author", sa.String(length=64), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("feature", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment", "organization"],
            ["organizations.environment", "organizations.id"],
            name=op.f("fk_outside_grants_environment_organizations"),
        ),
        sa.PrimaryKeyConstraint(
            "environment", "author", "organization", "feature", name=op.f("pk_outside_grants")
        ),
    )
    op.create_index(
        "ix_outside_grants_environment_organization", "outside_grants", ["environment", "organization"]
    )
    op.create_table(
        "stripe_active_entitlements",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("customer", sa.String(length=255), nullable=False),
        sa.Column("lookup_key", sa.String(length=255), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"],
            ["environments.key"],
            name=op.f("fk_stripe_active_entitlements_environment_environments"),
        ),
        sa.PrimaryKeyConstraint(
            "environment", "customer", "lookup_key", name=op.f("pk_stripe_active_entitlements")
        ),
    )
    op.create_table(
        "stripe_budgets",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("free_at", sa.BigInteger(), nullable=False),
        sa.Column("apart", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_budgets_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "endpoint", name=op.f("pk_stripe_budgets")),
    )
    op.create_table(
        "stripe_drift",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("sweep", sa.String(length=32), nullable=False),
        sa.Column("object_type", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=True),
        sa.Column("differences", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("repair", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_drift_environment_environments")
        ),
        sa.PrimaryKeyConstraint(
            "environment", "sweep", "object_type", "object_id", name=op.f("pk_stripe_drift")
        ),
    )
    op.create_table(
        "stripe_prices",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("product", sa.String(length=255), nullable=False),
        sa.Column("product_name", sa.String(length=255), nullable=True),
        sa.Column("lookup_key", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("metered", sa.Boolean(), nullable=False),
        sa.Column("meter", sa.String(length=255), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_prices_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_stripe_prices")),
    )
    op.create_table(
        "stripe_sweeps",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("after", sa.String(length=255), nullable=True),
        sa.Column("listed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=True),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("drifted", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("claim", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.key"], name=op.f("fk_stripe_sweeps_environment_environments")
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_stripe_sweeps")),
    )
    with op.batch_alter_table("stripe_sweeps", schema=None) as batch_op:
        batch_op.create_index(
            "ix_stripe_sweeps_environment_started_at", ["environment", "started_at"], unique=False
        )

    op.create_table(
        "stripe_webhook_secrets",
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("shown", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["environment"],
            ["environments.key"],
            name=op.f("fk_stripe_webhook_secrets_environment_environments"),
        ),
        sa.PrimaryKeyConstraint("environment", "id", name=op.f("pk_stripe_webhook_secrets")),
    )
    with op.batch_alter_table("stripe_customers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("name", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("email", sa.String(length=255), nullable=True))

    with op.batch_alter_table("stripe_events", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("kind", sa.String(length=16), server_default="snapshot", nullable=False)
        )
        batch_op.add_column(sa.Column("api_version", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("customer", sa.String(length=255), nullable=True))
        batch_op.create_index(
            "ix_stripe_events_environment_customer", ["environment", "customer"], unique=False
        )
        batch_op.create_index(
            "ix_stripe_events_environment_object_id", ["environment", "object_id"], unique=False
        )
        batch_op.create_index(
            "ix_stripe_events_environment_received_at", ["environment", "received_at", "id"], unique=False
        )
        batch_op.create_index(
            "ix_stripe_events_environment_type", ["environment", "type", "received_at", "id"], unique=False
        )
        batch_op.create_index(
            "ix_stripe_events_missed",
            ["environment", "received_at", "id"],
            unique=False,
            sqlite_where=sa.text("deliveries = 0"),
            postgresql_where=sa.text("deliveries = 0"),
        )

    op.execute(
        "INSERT INTO stripe_webhook_secrets (environment, id, secret, shown, kind, added_at) "
        "SELECT environment, 'first', webhook_secret, '', 'snapshot', created_at "
        "FROM stripe_links WHERE webhook_secret IS NOT NULL"
    )
    with op.batch_alter_table("stripe_links", schema=None) as batch_op:
        batch_op.drop_column("webhook_secret")
        batch_op.add_column(sa.Column("endpoint", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("endpoint_problem", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("permissions", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("reads", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("events_until", sa.BigInteger(), nullable=True))
        batch_op.add_column(
            sa.Column("stripe_entitlements", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(sa.Column("refused", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("refused_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("refused_reason", sa.Text(), nullable=True))

    with op.batch_alter_table("stripe_subscriptions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("read", sa.BigInteger(), server_default="0", nullable=False))

    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.add_column(sa.Column("lookup_key", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("product", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("rematch", sa.Boolean(), server_default=sa.false(), nullable=False))
        for name, columns, condition in _ITEM_INDEXES:
            batch_op.create_index(
                name,
                ["environment", *columns],
                unique=False,
                sqlite_where=sa.text(condition),
                postgresql_where=sa.text(condition),
            )


def downgrade() -> None:
    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        for name, _, _ in _ITEM_INDEXES:
            batch_op.drop_index(name)
        batch_op.drop_column("rematch")
        batch_op.drop_column("product")
        batch_op.drop_column("lookup_key")

    with op.batch_alter_table("stripe_subscriptions", schema=None) as batch_op:
        batch_op.drop_column("read")

    with op.batch_alter_table("stripe_links", schema=None) as batch_op:
        batch_op.drop_column("refused_reason")
        batch_op.drop_column("refused_at")
        batch_op.drop_column("refused")
        batch_op.drop_column("stripe_entitlements")
        batch_op.drop_column("events_until")
        batch_op.drop_column("reads")
        batch_op.drop_column("permissions")
        batch_op.drop_column("endpoint_problem")
        batch_op.drop_column("endpoint")
        batch_op.add_column(sa.Column("webhook_secret", sa.LargeBinary(), nullable=True))

    op.execute(
        "UPDATE stripe_links SET webhook_secret = (SELECT secret FROM stripe_webhook_secrets AS kept "
        "WHERE kept.environment = stripe_links.environment AND kept.kind = 'snapshot' "
        "AND kept.expires_at IS NULL LIMIT 1)"
    )

    with op.batch_alter_table("stripe_events", schema=None) as batch_op:
        batch_op.drop_index("ix_stripe_events_missed")
        batch_op.drop_index("ix_stripe_events_environment_type")
        batch_op.drop_index("ix_stripe_events_environment_received_at")
        batch_op.drop_index("ix_stripe_events_environment_object_id")
        batch_op.drop_index("ix_stripe_events_environment_customer")
        batch_op.drop_column("customer")
        batch_op.drop_column("api_version")
        batch_op.drop_column("kind")

    with op.batch_alter_table("stripe_customers", schema=None) as batch_op:
        batch_op.drop_column("email")
        batch_op.drop_column("name")

    op.drop_table("outside_grants")
    op.drop_table("stripe_webhook_secrets")
    with op.batch_alter_table("stripe_sweeps", schema=None) as batch_op:
        batch_op.drop_index("ix_stripe_sweeps_environment_started_at")

    op.drop_table("stripe_sweeps")
    op.drop_table("stripe_prices")
    op.drop_table("stripe_drift")
    op.drop_table("stripe_budgets")
    op.drop_table("stripe_active_entitlements")
