"""The database's schema over time: one Alembic revision a change, applied when the server starts."""
