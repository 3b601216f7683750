"""Passwords that cost little to hash, and somebody who has one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from argon2 import PasswordHasher

from flux_server.accounts.entrance import Guest
from flux_server.accounts.passwords import Passwords
from flux_server.accounts.users import User, add_user
from flux_server.database import Database
from tests.flux_server.running import NOON

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GUEST = Guest("192.0.2.1", "Firefox on Linux", NOON)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


@pytest.fixture
def add(database: Database, passwords: Passwords) -> Callable[[str], Awaitable[User]]:
    """Adds a user with PASSWORD."""

    async def add(email: str) -> User:
        stored = await passwords.hash(PASSWORD)
        async with database.write() as connection:
            return await add_user(connection, email, stored, NOON)

    return add


@pytest.fixture
async def ada(add: Callable[[str], Awaitable[User]]) -> User:
    return await add("ada@example.com")
