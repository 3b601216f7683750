from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from flux_server.errors import ConflictError, RequestError, UnavailableError
from flux_server.stripe.connector import NotLinkedError
from flux_server.stripe.link import Link, read_link, require_link, unlink
from flux_server.stripe.link_forms import LinkRefusedError
from flux_server.stripe.linking import set_link
from flux_server.stripe.tables import stripe_dirty, stripe_links, stripe_webhook_secrets
from tests.flux_server.stripe.conftest import KEY, SECRET, World
from tests.flux_server.stripe.double import Answer


def forbidden(permission: str) -> Answer:
    message = f"Having the '{permission}' permission would allow this request to continue."
    return 403, {"error": {"type": "invalid_request_error", "message": message}}


async def stored(world: World) -> Link | None:
    async with world.database.read() as connection:
        return await read_link(connection, "test")


async def test_a_link_shows_no_secret_and_stores_none_readable(unlinked: World) -> None:
    link = await set_link(unlinked.connector, "test", api_key=KEY, webhook_secret=SECRET)

    assert link == await stored(unlinked)
    assert (link.account, link.livemode, link.status) == ("acct_1", False, "active")
    assert link.api_key_shown == "rk_test_…p7dc"
    assert link.warnings == ()
    assert KEY not in repr(link)
    async with unlinked.database.read() as connection:
        key = (await connection.execute(select(stripe_links.c.api_key))).scalar_one()
        secret = (await connection.execute(select(stripe_webhook_secrets.c.secret))).scalar_one()
    assert KEY.encode() not in key
    assert SECRET.encode() not in secret


@pytest.mark.parametrize(
    ("environment", "secret", "advice"),
    [
        pytest.param("test", "pk_test_abcdefgh", "publishable key, which can read nothing", id="publishable"),
        pytest.param("test", "whsec_abcdefgh", "goes into `webhook_secret`", id="webhook-secret"),
        pytest.param("test", "mk_1234567890", "not an API key of an account", id="mk"),
        pytest.param("test", "hunter2", "not a Stripe API key", id="anything-else"),
        pytest.param("test", "rk_test_abc\n", "not a Stripe API key", id="newline"),
        pytest.param("test", "rk_live_abcdefgh", "needs a test mode key", id="live-key-on-test"),
        pytest.param("live", "sk_test_abcdefgh", "needs a live mode key", id="test-key-on-live"),
    ],
)
async def test_what_cannot_be_the_key_is_refused_without_asking_stripe(
    unlinked: World, environment: str, secret: str, advice: str
) -> None:
    with pytest.raises(LinkRefusedError, match=advice) as refused:
        await set_link(unlinked.connector, environment, api_key=secret)

    assert secret not in str(refused.value)
    assert unlinked.stripe.calls.total() == 0


async def test_a_full_secret_key_is_taken_with_a_warning(unlinked: World) -> None:
    link = await set_link(unlinked.connector, "test", api_key="sk_test_abcdefgh", webhook_secret=SECRET)

    (warning,) = link.warnings
    assert "a restricted key (rk_…)" in warning


async def test_missing_permissions_are_named_and_nothing_is_linked(unlinked: World) -> None:
    unlinked.stripe.fail("/v1/subscriptions", forbidden("rak_subscription_read"))
    unlinked.stripe.fail("/v1/prices", forbidden("rak_plan_read"))

    with pytest.raises(LinkRefusedError, match="rak_subscription_read, rak_plan_read; add them"):
        await set_link(unlinked.connector, "test", api_key=KEY)

    assert await stored(unlinked) is None


@pytest.mark.parametrize(
    ("answer", "error", "advice"),
    [
        pytest.param(
            (401, {"error": {"message": "Invalid API Key provided"}}),
            LinkRefusedError,
            "refuses the key",
            id="revoked",
        ),
        pytest.param((500, {"error": {"message": "oops"}}), UnavailableError, "try again", id="stripe-down"),
        pytest.param((400, {"error": {"message": "odd"}}), LinkRefusedError, "cannot be read", id="odd"),
    ],
)
async def test_a_key_that_cannot_be_tried_is_not_linked(
    unlinked: World, answer: Answer, error: type[RequestError], advice: str
) -> None:
    unlinked.stripe.fail("/v1/customers", answer)

    with pytest.raises(error, match=advice):
        await set_link(unlinked.connector, "test", api_key=KEY)

    assert await stored(unlinked) is None


async def test_an_implementation_without_accounts_can_be_linked(unlinked: World) -> None:
    unlinked.stripe.objects.clear()
    unlinked.stripe.lists.pop("/v1/prices")

    link = await set_link(unlinked.connector, "test", api_key=KEY)

    assert link.account == ""


async def test_the_webhook_secret_can_follow_later(unlinked: World) -> None:
    first = await set_link(unlinked.connector, "test", api_key=KEY)
    assert "no webhook secret yet" in first.warnings[0]

    second = await set_link(unlinked.connector, "test", webhook_secret=SECRET)

    assert second.warnings == ()
    assert second.token == first.token


async def test_a_rolled_key_keeps_the_webhook_address_and_its_secret(unlinked: World) -> None:
    first = await set_link(unlinked.connector, "test", api_key=KEY, webhook_secret=SECRET)

    rolled = await set_link(unlinked.connector, "test", api_key="rk_test_anotherone")

    assert (rolled.token, rolled.has_webhook_secret) == (first.token, True)
    assert rolled.api_key_shown == "rk_test_…rone"


async def test_a_key_of_another_account_needs_the_link_to_end_first(unlinked: World) -> None:
    await set_link(unlinked.connector, "test", api_key=KEY)
    unlinked.stripe.put("/v1/account", {"id": "acct_2", "object": "account"})

    with pytest.raises(ConflictError, match="DELETE /v1/stripe/link first"):
        await set_link(unlinked.connector, "test", api_key=KEY)


async def test_the_first_link_needs_a_key(unlinked: World) -> None:
    with pytest.raises(LinkRefusedError, match="give `api_key`"):
        await set_link(unlinked.connector, "test", webhook_secret=SECRET)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"webhook_secret": "rk_test_abcd"}, id="not-a-secret"),
        pytest.param({"thin_secret": "rk_test_abcd"}, id="not-a-thin-secret"),
        pytest.param({"webhook_secret": SECRET, "endpoint": True}, id="an-endpoint-too-many"),
        pytest.param({"metadata_key": ""}, id="no-metadata-key"),
        pytest.param({"metadata_key": "x" * 41}, id="longer-than-stripe-takes"),
    ],
)
async def test_malformed_fields_are_refused(unlinked: World, fields: dict[str, Any]) -> None:
    with pytest.raises(LinkRefusedError):
        await set_link(unlinked.connector, "test", api_key=KEY, **fields)


async def test_unlinking_forgets_the_secrets_and_the_marks(world: World) -> None:
    await world.mark(("subscription", "sub_1"))

    async with world.database.write() as connection:
        await unlink(connection, "test")

    assert await stored(world) is None
    async with world.database.read() as connection:
        assert (await connection.execute(select(stripe_dirty))).all() == []
        with pytest.raises(NotLinkedError, match="PUT /v1/stripe/link"):
            await require_link(connection, "test")


async def test_environments_have_addresses_of_their_own(unlinked: World) -> None:
    test = await set_link(unlinked.connector, "test", api_key=KEY)
    live = await set_link(unlinked.connector, "live", api_key="rk_live_abcdefgh")

    assert test.token != live.token
    assert len(test.token) >= 32
    assert live.livemode
