"""People who sign in to the dashboard, their sessions, and the one-time link that makes the first of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, String, Table

from flux_server.database import metadata

__all__ = ["invitations", "sessions", "users"]

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("email", String(255), nullable=False, unique=True),  # lower case
    Column("password", String(255), nullable=False),  # argon2id, encoded
    Column("created_at", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the cookie's token
    Column("user", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)
