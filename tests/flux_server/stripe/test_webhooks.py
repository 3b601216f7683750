from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import stripe as stripe_lib
from sqlalchemy import select

from flux_server.errors import NotFoundError
from flux_server.stripe.link import read_link
from flux_server.stripe.linking import set_link
from flux_server.stripe.tables import stripe_dirty, stripe_events
from flux_server.stripe.webhooks import WebhookRefusedError, receive, verify
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import KEY, SECRET, World


def event(kind: str = "customer.subscription.updated", **fields: Any) -> bytes:
    plain = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": NOON - 100,
        "livemode": False,
        "data": {"object": {"id": "sub_1", "object": "subscription"}},
    }
    return json.dumps(plain | fields).encode()


def sign(body: bytes, *, secret: str = SECRET, at: int = NOON) -> str:
    return str(stripe_lib.WebhookSignature.generate_signature_header(body.decode(), secret, at))


async def deliver(world: World, body: bytes, signature: str | None = None) -> None:
    async with world.database.read() as connection:
        link = await read_link(connection, "test")
    assert link is not None
    await receive(world.connector, link.token, body, sign(body) if signature is None else signature)


async def stored(world: World) -> list[tuple[str, int]]:
    async with world.database.read() as connection:
        rows = await connection.execute(select(stripe_events.c.id, stripe_events.c.deliveries))
        return [(row.id, row.deliveries) for row in rows]


async def marked(world: World) -> list[str]:
    async with world.database.read() as connection:
        return list((await connection.execute(select(stripe_dirty.c.object_id))).scalars())


async def test_a_webhook_is_stored_and_marks_what_changed_without_asking_stripe(world: World) -> None:
    asked = world.stripe.calls.total()

    await deliver(world, event())

    assert await stored(world) == [("evt_1", 1)]
    assert await marked(world) == ["sub_1"]
    assert world.stripe.calls.total() == asked


async def test_one_event_delivered_ten_times_at_once_is_one_event(world: World) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription()

    await asyncio.gather(*(deliver(world, event()) for _ in range(10)))
    await world.sync()

    assert await stored(world) == [("evt_1", 10)]
    assert await world.is_entitled("acme")


async def test_the_order_of_events_does_not_matter(world: World) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription(status="active")
    incomplete = {"object": {"id": "sub_1", "object": "subscription", "status": "incomplete"}}

    await deliver(world, event())
    await world.sync()
    await deliver(world, event("customer.subscription.created", id="evt_0", data=incomplete))
    await world.sync()

    assert await world.is_entitled("acme")


async def test_a_stale_event_does_not_revive_what_was_canceled(world: World) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    world.stripe.put_subscription(status="canceled")
    active = {"object": {"id": "sub_1", "object": "subscription", "status": "active"}}

    await deliver(world, event("customer.subscription.created", data=active))
    await world.sync()

    assert not await world.is_entitled("acme")


async def test_an_unknown_type_is_stored_and_changes_nothing(world: World) -> None:
    await deliver(world, event("something.brand_new"))

    assert await stored(world) == [("evt_1", 1)]
    assert await marked(world) == []


BODY = event()


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        pytest.param(BODY, "", id="no-signature"),
        pytest.param(BODY, "garbage", id="garbage"),
        pytest.param(BODY, sign(BODY, secret="whsec_another"), id="another-secret"),
        pytest.param(BODY, sign(BODY, at=NOON - 301), id="old"),
        pytest.param(BODY, sign(BODY, at=NOON + 301), id="from-the-future"),
        pytest.param(BODY, sign(BODY).replace("v1=", "v0="), id="only-v0"),
        pytest.param(json.dumps(json.loads(BODY), indent=1).encode(), sign(BODY), id="written-anew"),
        pytest.param(b"\xff\xfe", sign(BODY), id="not-utf-8"),
        pytest.param(b"{", sign(b"{"), id="not-json"),
        pytest.param(b"[]", sign(b"[]"), id="not-an-event"),
        pytest.param(event(livemode=True), sign(event(livemode=True)), id="live-event-on-a-test-link"),
        pytest.param(event(account="acct_9"), sign(event(account="acct_9")), id="another-account"),
    ],
)
async def test_a_forged_replayed_or_misdirected_webhook_is_refused(
    world: World, body: bytes, signature: str
) -> None:
    with pytest.raises(WebhookRefusedError) as refused:
        await deliver(world, body, signature)

    assert refused.value.detail == "this is not a webhook of the linked Stripe account"
    assert await stored(world) == []
    assert await marked(world) == []


async def test_a_webhook_before_the_secret_was_pasted_is_refused(unlinked: World) -> None:
    await set_link(unlinked.connector, "test", api_key=KEY)

    with pytest.raises(WebhookRefusedError):
        await deliver(unlinked, BODY)


async def test_an_unknown_address_answers_nothing(world: World) -> None:
    with pytest.raises(NotFoundError):
        await receive(world.connector, "guessed", BODY, sign(BODY))


def test_either_of_two_secrets_verifies() -> None:
    verify(BODY, sign(BODY, secret="whsec_old"), ["whsec_new", "whsec_old"], NOON)


def test_a_body_signed_with_two_secrets_verifies_with_one() -> None:
    both = f"{sign(BODY, secret='whsec_old')},{sign(BODY, secret='whsec_new').partition(',')[2]}"

    verify(BODY, both, ["whsec_new"], NOON)
