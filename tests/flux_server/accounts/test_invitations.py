from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from flux_server.accounts.entrance import Guest, accept_invitation, sign_in
from flux_server.accounts.invitations import (
    Invitation,
    InvitationVoidError,
    find_invitation,
    invite,
    invite_first_admin,
    list_invitations,
    withdraw_invitation,
)
from flux_server.accounts.passwords import Passwords, WeakPasswordError
from flux_server.accounts.sessions import find_session
from flux_server.accounts.users import InvalidEmailError, User, list_users
from flux_server.database import Database, metadata
from tests.flux_server.accounts.conftest import GUEST, PASSWORD
from tests.flux_server.running import NOON

DAY = 86_400


async def make_first(database: Database, now: float = NOON) -> str:
    async with database.write() as connection:
        made = await invite_first_admin(connection, now)
    assert made is not None
    return made[1]


async def make(database: Database, email: str) -> tuple[Invitation, str]:
    async with database.write() as connection:
        return await invite(connection, email, NOON)


async def accept(
    database: Database,
    passwords: Passwords,
    token: str,
    email: str = "ada@example.com",
    password: str = PASSWORD,
    guest: Guest = GUEST,
) -> str:
    _, session = await accept_invitation(
        database, passwords, guest, token=token, email=email, password=password
    )
    return session


async def emails(database: Database) -> list[str]:
    async with database.read() as connection:
        return [user.email for user in await list_users(connection)]


async def test_the_first_admin_is_whoever_opens_the_link(database: Database, passwords: Passwords) -> None:
    token = await make_first(database)

    session = await accept(database, passwords, token, " Ada@Example.com ")

    async with database.read() as connection:
        found = await find_session(connection, session, NOON)
    assert found is not None
    assert found[0].email == "ada@example.com"


async def test_a_link_works_once(database: Database, passwords: Passwords) -> None:
    token = await make_first(database)
    await accept(database, passwords, token)

    with pytest.raises(InvitationVoidError, match="works once"):
        await accept(database, passwords, token, "eve@example.com")
    assert await emails(database) == ["ada@example.com"]


async def test_of_two_people_with_one_link_exactly_one_gets_in(
    database: Database, passwords: Passwords
) -> None:
    token = await make_first(database)
    people = [f"user-{number}@example.com" for number in range(6)]

    outcomes = await asyncio.gather(
        *(accept(database, passwords, token, email) for email in people), return_exceptions=True
    )

    assert sum(isinstance(outcome, str) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, InvitationVoidError) for outcome in outcomes) == 5
    assert len(await emails(database)) == 1


@pytest.mark.parametrize(("later", "works"), [(DAY - 1, True), (DAY, False)])
async def test_the_first_admins_link_works_for_a_day(database: Database, later: int, works: bool) -> None:
    token = await make_first(database)

    async with database.read() as connection:
        if works:
            assert (await find_invitation(connection, token, NOON + later)).email is None
            return
        with pytest.raises(InvitationVoidError):
            await find_invitation(connection, token, NOON + later)


async def test_a_new_first_link_voids_the_one_before(database: Database, passwords: Passwords) -> None:
    old = await make_first(database)
    new = await make_first(database, NOON + 1)

    with pytest.raises(InvitationVoidError):
        await accept(database, passwords, old)
    assert await accept(database, passwords, new)


async def test_there_is_no_first_link_once_there_is_a_user(database: Database, ada: User) -> None:
    async with database.write() as connection:
        assert await invite_first_admin(connection, NOON) is None


async def test_the_first_admin_voids_all_other_links(database: Database, passwords: Passwords) -> None:
    first = await make_first(database)
    _, other = await make(database, "eve@example.com")

    await accept(database, passwords, first)

    with pytest.raises(InvitationVoidError):
        await accept(database, passwords, other)


async def test_a_colleagues_link_is_for_their_email_only(
    database: Database, passwords: Passwords, ada: User
) -> None:
    _, token = await make(database, "bob@example.com")

    await accept(database, passwords, token, email="eve@example.com")

    assert await emails(database) == ["ada@example.com", "bob@example.com"]


async def test_a_lost_password_is_replaced_and_its_sessions_end(
    database: Database, passwords: Passwords, ada: User
) -> None:
    _, before = await sign_in(database, passwords, GUEST, email=ada.email, password=PASSWORD)
    _, token = await make(database, ada.email)

    after = await accept(database, passwords, token, password="another long password")

    async with database.read() as connection:
        assert await find_session(connection, before, NOON) is None
        assert await find_session(connection, after, NOON) is not None
    assert await sign_in(database, passwords, GUEST, email=ada.email, password="another long password")
    assert await emails(database) == [ada.email]


async def test_a_new_link_for_somebody_voids_theirs_from_before(database: Database, ada: User) -> None:
    _, old = await make(database, "bob@example.com")
    kept, _ = await make(database, "bob@example.com")

    async with database.read() as connection:
        with pytest.raises(InvitationVoidError):
            await find_invitation(connection, old, NOON)
        assert await list_invitations(connection, NOON) == (kept,)


async def test_a_withdrawn_link_does_not_work(database: Database, ada: User) -> None:
    made, token = await make(database, "bob@example.com")

    async with database.write() as connection:
        await withdraw_invitation(connection, made.id)

        with pytest.raises(InvitationVoidError):
            await find_invitation(connection, token, NOON)


@pytest.mark.parametrize(
    ("email", "password", "error"),
    [
        pytest.param("ada@example.com", "too short", WeakPasswordError, id="password"),
        pytest.param("ada", PASSWORD, InvalidEmailError, id="email"),
        pytest.param("a da@example.com", PASSWORD, InvalidEmailError, id="space"),
        pytest.param("ada@example.com\u0000", PASSWORD, InvalidEmailError, id="nul"),
        pytest.param("a" * 250 + "@x.io", PASSWORD, InvalidEmailError, id="long"),
    ],
)
async def test_a_refused_attempt_does_not_use_the_link_up(
    database: Database, passwords: Passwords, email: str, password: str, error: type[Exception]
) -> None:
    token = await make_first(database)

    with pytest.raises(error):
        await accept(database, passwords, token, email, password)

    assert await accept(database, passwords, token)


async def test_the_database_holds_no_link(database: Database) -> None:
    token = await make_first(database)

    async with database.read() as connection:
        stored = (await connection.execute(sa.select(metadata.tables["invitations"]))).one()
    assert token not in repr(stored)
