from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest
from argon2 import PasswordHasher

from flux_server.accounts.attempts import TooManyAttemptsError
from flux_server.accounts.entrance import Guest, SignInRefusedError, change_password, sign_in
from flux_server.accounts.invitations import invite
from flux_server.accounts.passwords import Passwords, WeakPasswordError
from flux_server.accounts.sessions import list_sessions
from flux_server.accounts.users import EmailTakenError, User, add_user, find_user
from flux_server.database import Database
from tests.flux_server.accounts.conftest import GUEST, PASSWORD
from tests.flux_server.accounts.test_invitations import accept
from tests.flux_server.running import NOON


def attempt(
    database: Database,
    passwords: Passwords,
    password: str,
    email: str = "ada@example.com",
    guest: Guest = GUEST,
) -> Awaitable[object]:
    return sign_in(database, passwords, guest, email=email, password=password)


async def fail(database: Database, passwords: Passwords, times: int, **known: str | Guest) -> None:
    for _ in range(times):
        with pytest.raises(SignInRefusedError):
            await attempt(database, passwords, "wrong password", **known)  # type: ignore[arg-type]  # by name


async def test_the_right_password_opens_a_new_session_each_time(
    database: Database, passwords: Passwords, ada: User
) -> None:
    first = await attempt(database, passwords, PASSWORD, " ADA@example.com")
    second = await attempt(database, passwords, PASSWORD)

    assert first != second
    async with database.read() as connection:
        assert len(await list_sessions(connection, ada.id, NOON)) == 2


async def test_a_wrong_password_and_an_unknown_email_sound_the_same(
    database: Database, passwords: Passwords, ada: User
) -> None:
    messages = set()
    for email in (ada.email, "eve@example.com"):
        with pytest.raises(SignInRefusedError) as refused:
            await attempt(database, passwords, "wrong password", email)
        messages.add(str(refused.value))

    assert len(messages) == 1


async def test_a_password_hashed_at_another_cost_is_hashed_anew(
    database: Database, passwords: Passwords, ada: User
) -> None:
    costlier = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))

    await attempt(database, costlier, PASSWORD)

    async with database.read() as connection:
        found = await find_user(connection, ada.email)
    assert found is not None
    assert not costlier.is_outdated(found[1])
    assert await attempt(database, costlier, PASSWORD)


async def test_after_ten_wrong_passwords_even_the_right_one_waits(
    database: Database, passwords: Passwords, ada: User
) -> None:
    await fail(database, passwords, 10)

    with pytest.raises(TooManyAttemptsError, match=r"wait 15 minutes, .*one-time link") as refused:
        await attempt(database, passwords, PASSWORD)

    assert refused.value.headers == {"Retry-After": "900"}
    assert await attempt(database, passwords, PASSWORD, guest=dataclasses.replace(GUEST, now=NOON + 900))


async def test_changing_the_address_does_not_help_against_one_email(
    database: Database, passwords: Passwords, ada: User
) -> None:
    for number in range(10):
        guest = dataclasses.replace(GUEST, address=f"198.51.100.{number}")
        await fail(database, passwords, 1, guest=guest)

    with pytest.raises(TooManyAttemptsError):
        await attempt(database, passwords, PASSWORD, guest=dataclasses.replace(GUEST, address="203.0.113.9"))


@pytest.mark.parametrize("address", ["192.0.2.{}", "2001:db8::{}"])
async def test_one_network_cannot_try_many_emails(
    database: Database, passwords: Passwords, ada: User, address: str
) -> None:
    for number in range(50):
        same = address.format(1 if "." in address else number)
        guest = dataclasses.replace(GUEST, address=same)
        await fail(database, passwords, 1, email=f"user-{number}@example.com", guest=guest)

    guest = dataclasses.replace(GUEST, address=address.format(1))
    with pytest.raises(TooManyAttemptsError):
        await attempt(database, passwords, PASSWORD, guest=guest)


async def test_a_network_that_tried_too_often_cannot_lock_others_out(
    database: Database, passwords: Passwords, ada: User
) -> None:
    for number in range(50):
        await fail(database, passwords, 1, email=f"user-{number}@example.com")
    for _ in range(20):
        with pytest.raises(TooManyAttemptsError):
            await attempt(database, passwords, "wrong password")

    elsewhere = dataclasses.replace(GUEST, address="203.0.113.9")
    assert await attempt(database, passwords, PASSWORD, guest=elsewhere)


async def test_attempts_at_the_same_moment_all_count(
    database: Database, passwords: Passwords, ada: User
) -> None:
    outcomes = await asyncio.gather(
        *(attempt(database, passwords, f"guess number {number}") for number in range(30)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, SignInRefusedError) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, TooManyAttemptsError) for outcome in outcomes) == 20


async def test_success_forgives_what_was_mistyped_before(
    database: Database, passwords: Passwords, ada: User
) -> None:
    for _ in range(3):
        await fail(database, passwords, 9)
        assert await attempt(database, passwords, PASSWORD)


async def test_a_new_link_lets_in_whoever_had_to_wait(
    database: Database, passwords: Passwords, ada: User
) -> None:
    await fail(database, passwords, 10)
    async with database.write() as connection:
        _, token = await invite(connection, ada.email, NOON)

    assert await accept(database, passwords, token)
    assert await attempt(database, passwords, PASSWORD)


async def test_changing_the_password_ends_all_other_sessions(
    database: Database, passwords: Passwords, ada: User
) -> None:
    session, _ = await sign_in(database, passwords, GUEST, email=ada.email, password=PASSWORD)
    await attempt(database, passwords, PASSWORD)

    ended = await change_password(
        database, passwords, GUEST, session, ada, old=PASSWORD, new="another long password"
    )

    assert ended == 1
    async with database.read() as connection:
        assert await list_sessions(connection, ada.id, NOON) == (session,)
    with pytest.raises(SignInRefusedError):
        await attempt(database, passwords, PASSWORD)
    assert await attempt(database, passwords, "another long password")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        pytest.param("not the old one", "another long password", SignInRefusedError, id="old"),
        pytest.param(PASSWORD, "too short", WeakPasswordError, id="new"),
    ],
)
async def test_a_refused_change_changes_nothing(
    database: Database, passwords: Passwords, ada: User, old: str, new: str, error: type[Exception]
) -> None:
    session, _ = await sign_in(database, passwords, GUEST, email=ada.email, password=PASSWORD)

    with pytest.raises(error):
        await change_password(database, passwords, GUEST, session, ada, old=old, new=new)

    assert await attempt(database, passwords, PASSWORD)


async def test_an_email_belongs_to_one_user(
    database: Database, add: Callable[[str], Awaitable[User]], ada: User
) -> None:
    async with database.write() as connection:
        with pytest.raises(EmailTakenError, match="can sign in already"):
            await add_user(connection, "ada@example.com", "x", NOON)
