from __future__ import annotations

import pytest

from flux_server.database import SYSTEM, Database
from flux_server.environments.history import Kind, note, read_history, states_at
from tests.flux_server.running import NOON

ENV = "test"


async def change(
    database: Database,
    state: object,
    at: float = NOON,
    *,
    kind: Kind = "feature",
    subject: str = "sso",
    actor: str = SYSTEM,
    environment: str = ENV,
) -> None:
    async with database.write(actor) as connection:
        await note(connection, environment, kind, subject, state, at)


@pytest.fixture
async def renamed(database: Database) -> Database:
    """A database where a feature was made, renamed an hour later, and taken away another hour later."""
    await change(database, {"name": "SSO"}, actor="ada@example.com")
    await change(database, {"name": "Single sign-on"}, NOON + 3600, actor="grace@example.com")
    await change(database, None, NOON + 7200)
    return database


async def test_a_change_says_who_changed_what_from_what_to_what(renamed: Database) -> None:
    async with renamed.read() as connection:
        gone, rename, made = await read_history(connection, ENV, kinds=["feature"], limit=10)

    assert (made.actor, made.before, made.after) == ("ada@example.com", None, '{"name":"SSO"}')
    assert (rename.actor, rename.at) == ("grace@example.com", NOON + 3600)
    assert (rename.before, rename.after) == ('{"name":"SSO"}', '{"name":"Single sign-on"}')
    assert (gone.actor, gone.before, gone.after) == (SYSTEM, '{"name":"Single sign-on"}', None)


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        pytest.param(NOON - 1, None, id="before-it-was-made"),
        pytest.param(NOON, '{"name":"SSO"}', id="the-second-it-was-made"),
        pytest.param(NOON + 3599.9, '{"name":"SSO"}', id="just-before-the-change"),
        pytest.param(NOON + 3600, '{"name":"Single sign-on"}', id="the-second-it-changed"),
        pytest.param(NOON + 7200, None, id="since-it-is-gone"),
    ],
)
async def test_a_past_moment_is_seen_as_it_was(renamed: Database, moment: float, name: str | None) -> None:
    async with renamed.read() as connection:
        states = await states_at(connection, ENV, ["feature"], moment)

    assert states == ({} if name is None else {("feature", "sso"): name})


async def test_the_last_change_of_a_second_is_how_the_second_ended(database: Database) -> None:
    for name in ("one", "two", "three"):
        await change(database, name)

    async with database.read() as connection:
        assert await states_at(connection, ENV, ["feature"], NOON) == {("feature", "sso"): '"three"'}


async def test_subjects_kinds_and_environments_are_kept_apart(database: Database) -> None:
    await change(database, 1)
    await change(database, 2, subject="seats")
    await change(database, 3, kind="metric")
    await change(database, 4, environment="live")

    async with database.read() as connection:
        features = await states_at(connection, ENV, ["feature"], NOON)
        one = await read_history(connection, ENV, kinds=["feature", "metric"], subject="sso", limit=10)

    assert features == {("feature", "sso"): "1", ("feature", "seats"): "2"}
    assert [(entry.kind, entry.before, entry.after) for entry in one] == [
        ("metric", None, "3"),
        ("feature", None, "1"),
    ]


async def test_the_history_is_read_page_by_page(database: Database) -> None:
    for number in range(5):
        await change(database, number)

    async with database.read() as connection:
        newest = await read_history(connection, ENV, kinds=["feature"], limit=2)
        older = await read_history(connection, ENV, kinds=["feature"], limit=9, before=newest[-1].id)

    assert [entry.after for entry in newest + older] == ["4", "3", "2", "1", "0"]


async def test_what_is_rolled_back_has_no_history(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await note(connection, ENV, "feature", "sso", 1, NOON)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await fail()

    async with database.read() as connection:
        assert await read_history(connection, ENV, kinds=["feature"], limit=1) == ()


async def test_an_actor_is_not_handed_on_to_the_next_transaction(database: Database) -> None:
    await change(database, 1, actor="ada@example.com")
    await change(database, 2)

    async with database.read() as connection:
        newest, _ = await read_history(connection, ENV, kinds=["feature"], limit=2)
    assert newest.actor == SYSTEM
