"""What Alembic runs: `upgrade.py` hands it an open connection, in whose transaction everything happens."""

from __future__ import annotations

from alembic import context

import flux_server.accounts.tables
import flux_server.catalog.tables
import flux_server.environments.tables
import flux_server.organizations.tables
import flux_server.stripe.tables
import flux_server.subscriptions.tables
import flux_server.usage.tables  # noqa: F401  each puts its tables on the metadata
from flux_server.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
