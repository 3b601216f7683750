from __future__ import annotations

import pytest
import sqlalchemy as sa

from flux_server.accounts.sessions import (
    LONGEST_SESSION,
    Session,
    end_other_sessions,
    end_session,
    find_session,
    list_sessions,
    needs_renewal,
    renew_session,
    start_session,
)
from flux_server.accounts.users import User, remove_user
from flux_server.database import Database, metadata
from tests.flux_server.running import NOON

HOUR, DAY = 3_600, 86_400


async def start(database: Database, user: User, now: float = NOON) -> tuple[Session, str]:
    async with database.write() as connection:
        return await start_session(connection, user.id, browser="Firefox on Linux", now=now)


async def find(database: Database, token: str, now: float = NOON) -> tuple[User, Session] | None:
    async with database.read() as connection:
        return await find_session(connection, token, now)


async def test_a_session_is_found_by_its_token_only(database: Database, ada: User) -> None:
    session, token = await start(database, ada)

    assert await find(database, token) == (ada, session)
    assert await find(database, session.id) is None
    assert await find(database, "") is None


async def test_the_database_holds_no_token(database: Database, ada: User) -> None:
    _, token = await start(database, ada)

    async with database.read() as connection:
        stored = (await connection.execute(sa.select(metadata.tables["sessions"]))).one()
    assert token not in repr(stored)


async def test_a_session_ends_after_a_week_without_use(database: Database, ada: User) -> None:
    _, token = await start(database, ada)

    assert await find(database, token, NOON + 7 * DAY - 1) is not None
    assert await find(database, token, NOON + 7 * DAY) is None


async def test_use_renews_a_session_once_an_hour(database: Database, ada: User) -> None:
    session, token = await start(database, ada)
    assert not needs_renewal(session, NOON + HOUR - 1)
    assert needs_renewal(session, NOON + HOUR)

    async with database.write() as connection:
        await renew_session(connection, session, NOON + HOUR)
    found = await find(database, token, NOON + 7 * DAY + HOUR - 1)

    assert found is not None
    assert found[1].seen_at == NOON + HOUR
    assert not needs_renewal(found[1], NOON + 2 * HOUR - 1)


async def test_no_session_outlives_a_month(database: Database, ada: User) -> None:
    session, token = await start(database, ada)
    late = NOON + LONGEST_SESSION - HOUR

    async with database.write() as connection:
        await renew_session(connection, session, late)

    assert await find(database, token, late) is not None
    assert await find(database, token, NOON + LONGEST_SESSION) is None


async def test_each_session_can_be_ended_by_whose_it_is(database: Database, ada: User) -> None:
    session, token = await start(database, ada)

    async with database.write() as connection:
        await end_session(connection, "somebody-else", session.id)
    assert await find(database, token) is not None

    async with database.write() as connection:
        await end_session(connection, ada.id, session.id)
    assert await find(database, token) is None


async def test_all_other_sessions_end_at_once(database: Database, ada: User) -> None:
    kept, _ = await start(database, ada)
    await start(database, ada)
    await start(database, ada)

    async with database.write() as connection:
        assert await end_other_sessions(connection, ada.id, keep=kept.id) == 2
        assert await list_sessions(connection, ada.id, NOON) == (kept,)


async def test_a_removed_users_sessions_are_gone(database: Database, ada: User) -> None:
    _, token = await start(database, ada)

    async with database.write() as connection:
        await remove_user(connection, ada.id)

    assert await find(database, token) is None


@pytest.mark.parametrize(("later", "left"), [(7 * DAY - 1, 2), (7 * DAY, 1)])
async def test_what_is_over_is_swept_when_the_next_begins(
    database: Database, ada: User, later: int, left: int
) -> None:
    await start(database, ada)
    await start(database, ada, NOON + later)

    async with database.read() as connection:
        stored = (await connection.execute(sa.select(metadata.tables["sessions"]))).all()
    assert len(stored) == left
