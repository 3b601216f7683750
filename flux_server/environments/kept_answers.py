"""Kept answers: what was answered to a request that carried an Idempotency-Key, so that it is not done twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.tables import kept_answers

__all__ = [
    "KEPT_SECONDS",
    "KeptAnswer",
    "answer_place",
    "find_answer",
    "keep_answer",
    "prune_answers",
    "take_turn",
]

KEPT_SECONDS = 24 * 3_600
"""How long an answer is kept at least."""

_FORGOTTEN_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The digest of a request, and its answer as it was given to be kept; None if it was not kept itself."""

    request: str
    answer: bytes | None


def answer_place(api_key: str, key: str) -> str:
    """Return what an answer is bound to when it is encrypted."""
    return f"answer {api_key} {key}"


async def take_turn(connection: AsyncConnection, api_key: str, key: str) -> bool:
    """Say whether no other transaction has this turn; it is given back at the end of this one, however it ends.

    SQLite has one writer at a time, so whoever writes has it.
    """
    if connection.dialect.name == "sqlite":
        return True
    number = hashlib.sha256(f"{api_key}/{key}".encode()).digest()[:8]
    turn = select(func.pg_try_advisory_xact_lock(int.from_bytes(number, signed=True)))
    return bool((await connection.execute(turn)).scalar_one())


async def find_answer(connection: AsyncConnection, api_key: str, key: str) -> KeptAnswer | None:
    """Return what is kept of the request that carried the key; None if none did."""
    query = select(kept_answers.c.request, kept_answers.c.answer).where(
        kept_answers.c.api_key == api_key, kept_answers.c.key == key
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else KeptAnswer(row.request, row.answer)


async def keep_answer(
    connection: AsyncConnection, api_key: str, key: str, kept: KeptAnswer, now: float
) -> None:
    """Keep what was answered to the request that carried the key."""
    await connection.execute(
        insert(kept_answers).values(
            api_key=api_key, key=key, request=kept.request, answer=kept.answer, at=int(now)
        )
    )


async def prune_answers(connection: AsyncConnection, now: float) -> bool:
    """Forget old answers, some at a time; return whether there may be more."""
    old = kept_answers.c.at < int(now) - KEPT_SECONDS
    oldest = select(kept_answers.c.at).where(old).order_by(kept_answers.c.at).limit(_FORGOTTEN_AT_ONCE)
    last = (await connection.execute(select(func.max(oldest.subquery().c.at)))).scalar_one()
    if last is None:
        return False
    forgotten = await connection.execute(delete(kept_answers).where(kept_answers.c.at <= last))
    return int(forgotten.rowcount) >= _FORGOTTEN_AT_ONCE
