"""Sessions: who is signed in with which browser, until when. Each can be ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.accounts.tables import sessions, users
from flux_server.accounts.tokens import digest, new_token
from flux_server.accounts.users import User

__all__ = [
    "LONGEST_SESSION",
    "Session",
    "end_other_sessions",
    "end_session",
    "find_session",
    "list_sessions",
    "needs_renewal",
    "renew_session",
    "start_session",
]

LONGEST_SESSION: Final = 30 * 86_400
"""Seconds after which everybody signs in again, however busy they were."""

_IDLE = 7 * 86_400
_RENEWED_AFTER = 3_600


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. Its `id` may be shown; only its token, which is not stored, opens anything."""

    id: str
    user: str
    csrf: str
    browser: str
    created_at: int
    expires_at: int

    @property
    def seen_at(self) -> int:
        """Return when it was last renewed: within an hour of its last request."""
        return max(self.created_at, self.expires_at - _IDLE)


async def start_session(
    connection: AsyncConnection, user: str, *, browser: str, now: float
) -> tuple[Session, str]:
    """Sign the user in; return the session and its token, which cannot be read again."""
    await connection.execute(delete(sessions).where(sessions.c.expires_at <= int(now)))
    token = new_token()
    session = Session(
        id=digest(token),
        user=user,
        csrf=secrets.token_urlsafe(32),
        browser=browser[:255],
        created_at=int(now),
        expires_at=int(now) + _IDLE,
    )
    await connection.execute(
        sessions.insert().values(
            digest=session.id,
            user=user,
            csrf=session.csrf,
            browser=session.browser,
            created_at=session.created_at,
            expires_at=session.expires_at,
        )
    )
    return session, token


async def find_session(connection: AsyncConnection, token: str, now: float) -> tuple[User, Session] | None:
    """Return the session of this token and whose it is; None if it is unknown, ended or over."""
    row = (
        await connection.execute(
            select(sessions, users.c.email, users.c.created_at.label("user_created_at"))
            .join(users, users.c.id == sessions.c.user)
            .where(sessions.c.digest == digest(token), sessions.c.expires_at > now)
        )
    ).one_or_none()
    return None if row is None else (User(row.user, row.email, row.user_created_at), _session(row))


def needs_renewal(session: Session, now: float) -> bool:
    """Say whether the session would end sooner than its use deserves: at most once an hour."""
    return _renewed_until(session, now) - session.expires_at >= _RENEWED_AFTER


async def renew_session(connection: AsyncConnection, session: Session, now: float) -> None:
    """Let the session last a week from now, but not longer than any may."""
    await connection.execute(
        update(sessions)
        .where(sessions.c.digest == session.id)
        .values(expires_at=_renewed_until(session, now))
    )


async def list_sessions(connection: AsyncConnection, user: str, now: float) -> tuple[Session, ...]:
    """Return the user's sessions that are not over, newest first."""
    query = (
        select(sessions)
        .where(sessions.c.user == user, sessions.c.expires_at > now)
        .order_by(sessions.c.created_at.desc(), sessions.c.digest)
    )
    return tuple(_session(row) for row in await connection.execute(query))


async def end_session(connection: AsyncConnection, user: str, session: str) -> None:
    """End one of the user's sessions; ending it twice is as good as once."""
    mine = (sessions.c.user == user) & (sessions.c.digest == session)
    await connection.execute(delete(sessions).where(mine))


async def end_other_sessions(connection: AsyncConnection, user: str, keep: str = "") -> int:
    """End all of the user's sessions but `keep`; return how many there were."""
    others = (sessions.c.user == user) & (sessions.c.digest != keep)
    return int((await connection.execute(delete(sessions).where(others))).rowcount)


def _renewed_until(session: Session, now: float) -> int:
    return min(int(now) + _IDLE, session.created_at + LONGEST_SESSION)


def _session(row: Row[tuple[object, ...]]) -> Session:
    return Session(row.digest, row.user, row.csrf, row.browser, row.created_at, row.expires_at)
