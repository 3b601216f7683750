from __future__ import annotations

import pytest
from sqlalchemy import select

from flux_server.environments.api_keys import create_api_key
from flux_server.environments.kept_answers import KeptAnswer, answer_place, find_answer, keep_answer
from flux_server.stripe.resealing import reseal
from flux_server.stripe.secrets import SealedError, SecretBox
from flux_server.stripe.tables import stripe_links, stripe_webhook_secrets
from flux_server.stripe.webhook_secrets import COLUMN
from tests.flux_server.stripe.conftest import KEY, SECRET, World

NEW = SecretBox("another key")


async def keep(world: World, box: SecretBox) -> tuple[str, str]:
    """Keep an answer as it is kept for a request with an Idempotency-Key; return whose it is."""
    async with world.database.write() as connection:
        key, _ = await create_api_key(connection, "test", name="k", scope="admin", now=world.clock())
        sealed = box.seal("an answer", environment="test", column=answer_place(key.id, "once"))
        kept = KeptAnswer("0" * 64, sealed)
        await keep_answer(connection, key.id, "once", kept, world.clock())
        return key.id, "once"


async def reseal_all(world: World) -> int:
    async with world.database.write() as connection:
        return await reseal(connection, world.connector.box, NEW)


async def test_everything_secret_opens_with_the_new_key_and_not_with_the_old(world: World) -> None:
    whose = await keep(world, world.connector.box)

    assert await reseal_all(world) == 3

    async with world.database.read() as connection:
        key = (await connection.execute(select(stripe_links.c.api_key))).scalar_one()
        secret = (await connection.execute(select(stripe_webhook_secrets.c.secret))).scalar_one()
        kept = await find_answer(connection, *whose)
    assert NEW.open(key, environment="test", column="api_key") == KEY
    assert NEW.open(secret, environment="test", column=COLUMN) == SECRET
    assert kept is not None
    assert NEW.open(kept.answer or b"", environment="test", column=answer_place(*whose)) == "an answer"
    with pytest.raises(SealedError, match="flux stripe rotate"):
        world.connector.box.open(key, environment="test", column="api_key")


async def test_doing_it_again_changes_nothing(world: World) -> None:
    await reseal_all(world)

    assert await reseal_all(world) == 0


async def test_what_neither_key_opens_leaves_everything_as_it_was(world: World) -> None:
    await keep(world, SecretBox("a lost key"))

    with pytest.raises(SealedError):
        await reseal_all(world)

    async with world.database.read() as connection:
        key = (await connection.execute(select(stripe_links.c.api_key))).scalar_one()
    assert world.connector.box.open(key, environment="test", column="api_key") == KEY
