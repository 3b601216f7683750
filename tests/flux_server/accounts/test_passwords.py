from __future__ import annotations

from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from flux_server.accounts.passwords import Passwords, WeakPasswordError
from tests.flux_server.accounts.conftest import CHEAP, PASSWORD


async def test_a_password_matches_only_its_own_hash(passwords: Passwords) -> None:
    stored = await passwords.hash(PASSWORD)

    assert await passwords.matches(PASSWORD, stored)
    assert not await passwords.matches(PASSWORD + "!", stored)
    assert not await passwords.matches(PASSWORD, await passwords.hash("another long password"))


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash(PASSWORD) != await passwords.hash(PASSWORD)


async def test_hashes_are_argon2id_at_the_recommended_cost() -> None:
    stored = await Passwords().hash(PASSWORD)

    assert stored.startswith("$argon2id$")
    assert extract_parameters(stored).memory_cost >= 64 * 1024


@pytest.mark.parametrize("password", ["", "eleven char", "é" * 11])
async def test_only_short_passwords_are_refused(passwords: Passwords, password: str) -> None:
    with pytest.raises(WeakPasswordError, match="at least 12 characters"):
        await passwords.hash(password)

    assert await passwords.hash(password + "twelve chars")


async def test_a_password_is_the_same_however_a_keyboard_composes_it(passwords: Passwords) -> None:
    stored = await passwords.hash("caf\u00e9 caf\u00e9 caf\u00e9")

    assert await passwords.matches("cafe\u0301 cafe\u0301 cafe\u0301", stored)


async def test_nobodys_password_costs_as_much_and_never_matches() -> None:
    compared: list[str] = []

    class Recording(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  its name
            compared.append(str(hash))
            return super().verify(hash, password)

    passwords = Passwords(Recording(time_cost=1, memory_cost=8, parallelism=1))

    assert not await passwords.matches(PASSWORD, None)
    assert extract_parameters(compared[0]) == extract_parameters(CHEAP.hash(PASSWORD))


async def test_a_hash_of_another_cost_is_outdated(passwords: Passwords) -> None:
    stored = await passwords.hash(PASSWORD)

    assert not passwords.is_outdated(stored)
    assert Passwords().is_outdated(stored)
