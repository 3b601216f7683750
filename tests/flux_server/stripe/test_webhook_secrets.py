from __future__ import annotations

import pytest

from flux_server.errors import NotFoundError
from flux_server.stripe.linking import set_link
from flux_server.stripe.secrets import SecretBox
from flux_server.stripe.webhook_secrets import (
    REPLACED_FOR,
    SecretKind,
    WebhookSecret,
    add_secret,
    list_secrets,
    remove_secret,
)
from flux_server.stripe.webhooks import WebhookRefusedError
from tests.flux_server.stripe.conftest import SECRET, World
from tests.flux_server.stripe.test_webhooks import deliver, event, sign


async def add(world: World, secret: str, kind: SecretKind = "snapshot") -> WebhookSecret:
    async with world.database.write() as connection:
        return await add_secret(connection, world.connector.box, "test", secret, kind, world.clock())


async def listed(world: World) -> dict[str, int | None]:
    """Return until when each secret is taken, by its last four characters."""
    async with world.database.read() as connection:
        found = await list_secrets(connection, "test", world.clock())
    return {each.shown: each.expires_at for each in found}


async def arrives(world: World, secret: str) -> bool:
    body = event(id=f"evt_{secret}")
    try:
        await deliver(world, body, sign(body, secret=secret, at=int(world.clock())))
    except WebhookRefusedError:
        return False
    return True


async def test_a_replaced_secret_is_taken_for_a_day(world: World) -> None:
    await add(world, "whsec_second")
    assert await arrives(world, SECRET)
    assert await arrives(world, "whsec_second")

    world.clock.now += REPLACED_FOR

    assert not await arrives(world, SECRET)
    assert await arrives(world, "whsec_second")
    assert await listed(world) == {"cond": None}


async def test_a_secret_replaces_those_of_its_own_kind_only(world: World) -> None:
    await add(world, "whsec_thinone", "thin")
    await add(world, "whsec_thintwo", "thin")

    day_later = int(world.clock()) + REPLACED_FOR
    assert await listed(world) == {SECRET[-4:]: None, "none": day_later, "ntwo": None}
    assert all([await arrives(world, each) for each in (SECRET, "whsec_thinone", "whsec_thintwo")])


async def test_the_same_secret_again_is_no_other(world: World) -> None:
    first = await add(world, "whsec_second")

    assert (await add(world, "whsec_second")).id == first.id
    assert len(await listed(world)) == 2


async def test_going_back_to_the_old_secret_keeps_it(world: World) -> None:
    await add(world, "whsec_second")
    await add(world, SECRET)

    assert (await listed(world))[SECRET[-4:]] is None
    assert (await listed(world))["cond"] == int(world.clock()) + REPLACED_FOR


async def test_a_secret_sealed_with_a_lost_key_is_passed_over_and_can_be_pasted_again(world: World) -> None:
    async with world.database.write() as connection:
        await add_secret(connection, SecretBox("a lost key"), "test", "whsec_lost", "thin", world.clock())
    assert await arrives(world, SECRET)
    assert not await arrives(world, "whsec_lost")

    await add(world, "whsec_lost", "thin")

    assert await arrives(world, "whsec_lost")


async def test_a_removed_secret_is_taken_no_more_and_cannot_be_removed_again(world: World) -> None:
    added = await add(world, "whsec_second", "thin")
    async with world.database.write() as connection:
        await remove_secret(connection, "test", added.id, world.clock())

    assert not await arrives(world, "whsec_second")
    async with world.database.write() as connection:
        with pytest.raises(NotFoundError, match="GET /v1/stripe/webhook-secrets"):
            await remove_secret(connection, "test", added.id, world.clock())


async def test_a_thin_secret_is_pasted_with_the_link(unlinked: World) -> None:
    await unlinked.link()

    link = await set_link(unlinked.connector, "test", thin_secret="whsec_thin")

    assert link.status == "active"
    assert (await listed(unlinked)).keys() == {SECRET[-4:], "thin"}
