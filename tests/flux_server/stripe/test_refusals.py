from __future__ import annotations

import pytest

from flux_server.stripe.refusals import Refusals
from flux_server.stripe.webhooks import TooManyWebhooksRefusedError, WebhookRefusedError
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.test_webhooks import BODY, deliver, stored


def test_a_minute_has_so_many_refusals_and_the_next_begins_anew() -> None:
    refusals = Refusals(most=2)

    assert [refusals.count("test", now) for now in (0, 10, 20)] == [0, 0, 40]
    assert refusals.count("live", 20) == 0
    assert refusals.count("test", 60) == 0


async def test_true_webhooks_are_let_in_however_many_are_refused(world: World) -> None:
    world.connector.refusals = Refusals(most=1)
    with pytest.raises(WebhookRefusedError):
        await deliver(world, BODY, "garbage")

    with pytest.raises(TooManyWebhooksRefusedError) as refused:
        await deliver(world, BODY, "garbage")
    await deliver(world, BODY)

    assert refused.value.headers == {"Retry-After": "60"}
    assert await stored(world) == [("evt_1", 1)]
