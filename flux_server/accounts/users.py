"""People who may use the dashboard. All of them may do everything."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.accounts.tables import users
from flux_server.database import insert
from flux_server.errors import ConflictError, InvalidRequestError, NotFoundError

__all__ = [
    "EmailTakenError",
    "InvalidEmailError",
    "User",
    "add_user",
    "any_user",
    "find_user",
    "list_users",
    "normalize_email",
    "remove_user",
    "replace_password",
]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")
_LONGEST_EMAIL = 254


class InvalidEmailError(InvalidRequestError):
    """What should be an email address is none."""

    code = "invalid_email"
    title = "Invalid email"


class EmailTakenError(ConflictError):
    """Somebody of this email address is there already."""

    code = "email_taken"
    title = "Email taken"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in."""

    id: str
    email: str
    created_at: int


def normalize_email(email: str) -> str:
    """Return the address as it is stored: without spaces around it, in lower case.

    Raises:
        InvalidEmailError: it cannot be an email address.
    """
    normal = email.strip().lower()
    if not _EMAIL.match(normal) or not normal.isprintable() or len(normal) > _LONGEST_EMAIL:
        raise InvalidEmailError("give an email address, like ada@example.com")
    return normal


async def any_user(connection: AsyncConnection) -> bool:
    """Say whether there is anybody yet."""
    return (await connection.execute(select(users.c.id).limit(1))).first() is not None


async def find_user(connection: AsyncConnection, email: str) -> tuple[User, str] | None:
    """Return the user of this (normalized) email address, and the stored password; None if there is none."""
    row = (await connection.execute(select(users).where(users.c.email == email))).one_or_none()
    return None if row is None else (_user(row), row.password)


async def list_users(connection: AsyncConnection) -> tuple[User, ...]:
    """Return everybody, in the order of their email addresses."""
    return tuple(_user(row) for row in await connection.execute(select(users).order_by(users.c.email)))


async def add_user(connection: AsyncConnection, email: str, password: str, now: float) -> User:
    """Add somebody with a stored password.

    Raises:
        EmailTakenError: there is a user of this email address.
    """
    user = User(uuid.uuid4().hex, email, int(now))
    added = await connection.execute(
        insert(connection, users)
        .values(id=user.id, email=email, password=password, created_at=user.created_at)
        .on_conflict_do_nothing()
    )
    if not added.rowcount:
        raise EmailTakenError(f"{email} can sign in already; invite them anew if they lost their password")
    return user


async def replace_password(connection: AsyncConnection, user: str, *, before: str, after: str) -> bool:
    """Store another password, if `before` is still the stored one; say whether it was."""
    mine = (users.c.id == user) & (users.c.password == before)
    changed = await connection.execute(update(users).where(mine).values(password=after))
    return changed.rowcount == 1


async def remove_user(connection: AsyncConnection, user: str) -> None:
    """Remove somebody; their sessions end at once.

    Raises:
        NotFoundError: there is no such user.
    """
    removed = await connection.execute(delete(users).where(users.c.id == user))
    if not removed.rowcount:
        raise NotFoundError("there is no such user; somebody else may have removed them")


def _user(row: Row[tuple[object, ...]]) -> User:
    return User(row.id, row.email, row.created_at)
