"""People who sign in to the dashboard, their sessions, the one-time links that make them, and failed attempts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table

from flux_server.database import metadata

__all__ = ["invitations", "sessions", "sign_in_attempts", "users"]

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
    Column("browser", String(255), nullable=False),  # what it calls itself, in a few words
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the link's token
    Column("email", String(255)),  # whose it is; empty: the first admin's, whoever that will be
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

sign_in_attempts = Table(  # a row an email address, and a row a network address, that somebody tried lately
    "sign_in_attempts",
    metadata,
    Column("subject", String(80), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("until", BigInteger, nullable=False),  # then counting begins anew
)
