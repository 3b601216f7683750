"""Encrypting everything anew that is secret in the database, after the server's secret key was changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.kept_answers import answer_place
from flux_server.environments.tables import api_keys, kept_answers
from flux_server.stripe.secrets import SecretBox
from flux_server.stripe.tables import stripe_links, stripe_webhook_secrets
from flux_server.stripe.webhook_secrets import COLUMN

__all__ = ["reseal"]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A value where it is stored, and what it is bound to."""

    value: bytes
    environment: str
    bound_to: str
    table: Table
    column: str
    row: ColumnElement[bool]


async def reseal(connection: AsyncConnection, old: SecretBox, new: SecretBox) -> int:
    """Encrypt with `new` what was encrypted with `old`; return how many values. What `new` opens stays as it is.

    Raises:
        SealedError: there is a value that neither opens. The caller's transaction must not commit then.
    """
    count = 0
    for each in [each async for each in _everything(connection)]:
        if new.sealed(each.value):
            new.open(each.value, environment=each.environment, column=each.bound_to)
            continue
        text = old.open(each.value, environment=each.environment, column=each.bound_to)
        again = new.seal(text, environment=each.environment, column=each.bound_to)
        await connection.execute(update(each.table).where(each.row).values({each.column: again}))
        count += 1
    return count


async def _everything(connection: AsyncConnection) -> AsyncIterator[_Sealed]:
    links = stripe_links.c
    for link in await connection.execute(select(links.environment, links.api_key)):
        row = links.environment == link.environment
        yield _Sealed(link.api_key, link.environment, "api_key", stripe_links, "api_key", row)
    kept = stripe_webhook_secrets.c
    for each in await connection.execute(select(kept.environment, kept.id, kept.secret)):
        row = (kept.environment == each.environment) & (kept.id == each.id)
        yield _Sealed(each.secret, each.environment, COLUMN, stripe_webhook_secrets, "secret", row)
    answers = kept_answers.c
    of_keys = select(answers.api_key, answers.key, answers.answer, api_keys.c.environment).join(
        api_keys, api_keys.c.id == answers.api_key
    )
    for answer in await connection.execute(of_keys.where(answers.answer.is_not(None))):
        row = (answers.api_key == answer.api_key) & (answers.key == answer.key)
        place = answer_place(answer.api_key, answer.key)
        yield _Sealed(answer.answer, answer.environment, place, kept_answers, "answer", row)
