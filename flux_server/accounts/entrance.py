"""The ways in: signing in, opening a one-time link, and changing one's password.

Passwords are hashed and checked while no transaction is open, for that takes a quarter of a second. What was
read before is therefore looked at again, in the transaction that lets somebody in.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.accounts.attempts import TooManyAttemptsError, count_attempt, forgive_attempts
from flux_server.accounts.invitations import Invitation, find_invitation, use_invitation
from flux_server.accounts.passwords import Passwords
from flux_server.accounts.sessions import Session, end_other_sessions, start_session
from flux_server.accounts.users import User, add_user, find_user, normalize_email, replace_password
from flux_server.database import Database
from flux_server.errors import InvalidRequestError

__all__ = ["Guest", "SignInRefusedError", "accept_invitation", "change_password", "sign_in"]


class SignInRefusedError(InvalidRequestError):
    """The email address and the password do not belong together; it does not say which of them is wrong."""

    code = "sign_in_refused"
    title = "Not signed in"

    def __init__(self) -> None:
        super().__init__("this email address and this password do not belong together")


@dataclass(frozen=True, slots=True)
class Guest:
    """Whoever asks to be let in: from which network address, with which browser, when."""

    address: str
    browser: str
    now: float


async def sign_in(
    database: Database, passwords: Passwords, guest: Guest, *, email: str, password: str
) -> tuple[Session, str]:
    """Return a new session and its token.

    Raises:
        InvalidEmailError: the email address is none.
        SignInRefusedError: the password is wrong, or there is no such user.
        TooManyAttemptsError: this was tried too often lately.
    """
    email = normalize_email(email)
    user, stored = await _verified(database, passwords, guest, email, password)
    kept = stored
    if passwords.is_outdated(stored):
        kept = await passwords.hash(password)
    async with database.write() as connection:
        if not await replace_password(connection, user.id, before=stored, after=kept):
            raise SignInRefusedError  # changed, or the user removed, meanwhile
        await forgive_attempts(connection, email=email, address=guest.address)
        return await start_session(connection, user.id, browser=guest.browser, now=guest.now)


async def accept_invitation(
    database: Database, passwords: Passwords, guest: Guest, *, token: str, email: str, password: str
) -> tuple[Session, str]:
    """Use the one-time link up and sign in with the new password. `email` is the first admin's to choose.

    Whoever had a password before has only the new one afterwards, and no other session.

    Raises:
        InvitationVoidError: the link cannot be used any more.
        WeakPasswordError: the password is too short.
    """
    async with database.read() as connection:
        invitation = await find_invitation(connection, token, guest.now)
    email = normalize_email(invitation.email or email)
    stored = await passwords.hash(password)
    async with database.write() as connection:
        await use_invitation(connection, invitation, guest.now)
        user = await _invited(connection, invitation, email, stored, guest.now)
        await forgive_attempts(connection, email=email, address=guest.address)
        return await start_session(connection, user.id, browser=guest.browser, now=guest.now)


async def change_password(
    database: Database,
    passwords: Passwords,
    guest: Guest,
    session: Session,
    user: User,
    *,
    old: str,
    new: str,
) -> int:
    """Change the password of whoever is signed in and end all their other sessions; return how many there were.

    Raises:
        SignInRefusedError: the old password is wrong.
        TooManyAttemptsError: that was tried too often lately.
        WeakPasswordError: the new one is too short.
    """
    replacement = await passwords.hash(new)
    _, stored = await _verified(database, passwords, guest, user.email, old)
    async with database.write() as connection:
        if not await replace_password(connection, user.id, before=stored, after=replacement):
            raise SignInRefusedError
        await forgive_attempts(connection, email=user.email, address=guest.address)
        return await end_other_sessions(connection, user.id, keep=session.id)


async def _verified(
    database: Database, passwords: Passwords, guest: Guest, email: str, password: str
) -> tuple[User, str]:
    async with database.write() as connection:
        wait = await count_attempt(connection, email=email, address=guest.address, now=guest.now)
        found = await find_user(connection, email)
    if wait:
        raise TooManyAttemptsError(wait)
    matches = await passwords.matches(password, None if found is None else found[1])
    if found is None or not matches:
        raise SignInRefusedError
    return found


async def _invited(
    connection: AsyncConnection, invitation: Invitation, email: str, stored: str, now: float
) -> User:
    known = await find_user(connection, email) if invitation.email is not None else None
    if known is None:
        return await add_user(connection, email, stored, now)
    user, before = known
    await replace_password(connection, user.id, before=before, after=stored)
    await end_other_sessions(connection, user.id)
    return user
