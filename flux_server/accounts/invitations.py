"""One-time links: the first admin's, a new colleague's, and that of somebody who lost their password."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.accounts.tables import invitations
from flux_server.accounts.tokens import digest, new_token
from flux_server.accounts.users import any_user
from flux_server.errors import NotFoundError

__all__ = [
    "Invitation",
    "InvitationVoidError",
    "find_invitation",
    "invite",
    "invite_first_admin",
    "list_invitations",
    "use_invitation",
    "withdraw_invitation",
]

_FIRST_ADMIN_LASTS = 86_400
_COLLEAGUE_LASTS = 3 * 86_400


class InvitationVoidError(NotFoundError):
    """The link was never made, was used, replaced or withdrawn, or is too old; it does not say which."""

    code = "invitation_void"
    title = "This link does not work any more"

    def __init__(self) -> None:
        super().__init__(
            "each link works once and for a limited time. Ask a colleague for a new one, or make it on the server: "
            "`flux users invite EMAIL`, or, while there is nobody yet, start `flux serve` again"
        )


@dataclass(frozen=True, slots=True)
class Invitation:
    """A one-time link, without its token. Its `id` may be shown. Without an `email` it is the first admin's."""

    id: str
    email: str | None
    expires_at: int


async def invite_first_admin(connection: AsyncConnection, now: float) -> tuple[Invitation, str] | None:
    """Make the link for the first admin, and void all others; None if there is a user already."""
    if await any_user(connection):
        return None
    await connection.execute(delete(invitations).where(invitations.c.used_at.is_(None)))
    return await _make(connection, None, now, _FIRST_ADMIN_LASTS)


async def invite(connection: AsyncConnection, email: str, now: float) -> tuple[Invitation, str]:
    """Make a link by which whoever has this (normalized) email address sets a password; their older ones are void."""
    mine = (invitations.c.email == email) & invitations.c.used_at.is_(None)
    await connection.execute(delete(invitations).where(mine))
    return await _make(connection, email, now, _COLLEAGUE_LASTS)


async def find_invitation(connection: AsyncConnection, token: str, now: float) -> Invitation:
    """Return the invitation of this token.

    Raises:
        InvitationVoidError: it cannot be used.
    """
    query = select(invitations).where(invitations.c.digest == digest(token), _usable(now))
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise InvitationVoidError
    return Invitation(row.digest, row.email, row.expires_at)


async def use_invitation(connection: AsyncConnection, invitation: Invitation, now: float) -> None:
    """Use it up. Of two people who try at the same time, one succeeds. The first admin's link voids all others.

    Raises:
        InvitationVoidError: it cannot be used any more.
    """
    used = await connection.execute(
        update(invitations)
        .where(invitations.c.digest == invitation.id, _usable(now))
        .values(used_at=int(now))
    )
    if not used.rowcount:
        raise InvitationVoidError
    if not await any_user(connection):
        await connection.execute(delete(invitations).where(invitations.c.used_at.is_(None)))


async def list_invitations(connection: AsyncConnection, now: float) -> tuple[Invitation, ...]:
    """Return the links that were not used yet, in the order of the email addresses that they are for."""
    query = select(invitations).where(_usable(now)).order_by(invitations.c.email, invitations.c.digest)
    rows = await connection.execute(query)
    return tuple(Invitation(row.digest, row.email, row.expires_at) for row in rows)


async def withdraw_invitation(connection: AsyncConnection, invitation: str) -> None:
    """Void the link of this id; voiding it twice is as good as once."""
    unused = (invitations.c.digest == invitation) & invitations.c.used_at.is_(None)
    await connection.execute(delete(invitations).where(unused))


async def _make(
    connection: AsyncConnection, email: str | None, now: float, lasts: int
) -> tuple[Invitation, str]:
    token = new_token()
    made = Invitation(digest(token), email, int(now) + lasts)
    await connection.execute(
        invitations.insert().values(
            digest=made.id, email=email, created_at=int(now), expires_at=made.expires_at
        )
    )
    return made, token


def _usable(now: float) -> ColumnElement[bool]:
    return invitations.c.used_at.is_(None) & (invitations.c.expires_at > now)
