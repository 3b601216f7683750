from __future__ import annotations

from typing import Any

import pytest

from flux_server.stripe.connector import NotLinkedError
from flux_server.stripe.endpoint import why_unreachable
from flux_server.stripe.events import FOLLOWED_TYPES
from flux_server.stripe.link import Link, unlink
from flux_server.stripe.linking import end_link, set_link
from tests.flux_server.stripe.conftest import KEY, SECRET, World
from tests.flux_server.stripe.test_link import forbidden

PATH = "/v1/webhook_endpoints"
FOREIGN = {"id": "we_foreign", "url": "https://example.com", "status": "enabled", "metadata": {}}


async def linked(world: World, *others: dict[str, Any]) -> Link:
    world.stripe.put_endpoints(*others)
    return await set_link(world.connector, "test", api_key=KEY)


def endpoints(world: World) -> list[dict[str, Any]]:
    return world.stripe.lists[PATH]


async def test_the_endpoint_is_made_with_what_flux_follows(unlinked: World) -> None:
    link = await linked(unlinked)

    (made,) = endpoints(unlinked)
    assert (link.endpoint, link.status, link.endpoint_problem) == (made["id"], "active", None)
    assert made["url"] == unlinked.connector.webhook_url(link.token)
    assert set(made["enabled_events"]) == set(FOLLOWED_TYPES)
    assert made["metadata"].keys() == {"flux_link", "flux_environment"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"url": "https://old.example.com"}, id="address"),
        pytest.param({"enabled_events": ["customer.created"]}, id="types"),
        pytest.param({"status": "disabled"}, id="disabled"),
    ],
)
async def test_an_endpoint_that_was_changed_is_put_right(unlinked: World, change: dict[str, Any]) -> None:
    await linked(unlinked)
    right = dict(endpoints(unlinked)[0])
    endpoints(unlinked)[0].update(change)

    await set_link(unlinked.connector, "test", metadata_key="org")

    (found,) = endpoints(unlinked)
    assert found | {"enabled_events": 0} == right | {"enabled_events": 0}
    assert set(found["enabled_events"]) == set(FOLLOWED_TYPES)


async def test_an_endpoint_whose_secret_nobody_kept_is_replaced_and_others_stay(unlinked: World) -> None:
    first = await linked(unlinked, dict(FOREIGN))
    async with unlinked.database.write() as connection:
        await unlink(connection, "test")  # as if nothing could be told to Stripe

    again = await set_link(unlinked.connector, "test", api_key=KEY)

    assert [each["id"] for each in endpoints(unlinked)] == ["we_foreign", again.endpoint]
    assert again.endpoint != first.endpoint


async def test_a_deleted_endpoint_is_made_again(unlinked: World) -> None:
    first = await linked(unlinked)
    endpoints(unlinked).clear()

    again = await set_link(unlinked.connector, "test", api_key=KEY)

    assert again.endpoint == endpoints(unlinked)[0]["id"] != first.endpoint


async def test_a_key_that_may_not_make_endpoints_links_all_the_same(unlinked: World) -> None:
    unlinked.stripe.put_endpoints()
    unlinked.stripe.fail(PATH, forbidden("rak_webhook_write"))

    link = await set_link(unlinked.connector, "test", api_key=KEY)

    assert link.status == "pending_secret"
    assert "(rak_webhook_write)" in str(link.endpoint_problem)


async def test_stripe_failing_meanwhile_does_not_undo_the_link(unlinked: World) -> None:
    unlinked.stripe.put_endpoints()
    unlinked.stripe.fail(PATH, (500, {"error": {"message": "oops"}}))

    link = await set_link(unlinked.connector, "test", api_key=KEY)

    assert "save the link again" in str(link.endpoint_problem)


async def test_with_a_secret_of_another_endpoint_none_is_made(unlinked: World) -> None:
    unlinked.stripe.put_endpoints()
    await set_link(unlinked.connector, "test", api_key=KEY, webhook_secret=SECRET)
    await set_link(unlinked.connector, "test", api_key=KEY)
    assert endpoints(unlinked) == []

    await set_link(unlinked.connector, "test", endpoint=True)

    assert len(endpoints(unlinked)) == 1


async def test_ending_the_link_removes_its_endpoint(unlinked: World) -> None:
    await linked(unlinked, dict(FOREIGN))

    assert await end_link(unlinked.connector, "test") is None

    assert endpoints(unlinked) == [FOREIGN]
    with pytest.raises(NotLinkedError):
        await end_link(unlinked.connector, "test")


async def test_an_endpoint_that_cannot_be_removed_is_told(unlinked: World) -> None:
    link = await linked(unlinked)
    unlinked.stripe.fail(f"{PATH}/{link.endpoint}", (401, {"error": {"message": "Expired API Key"}}))

    left = await end_link(unlinked.connector, "test")

    assert str(left).startswith(f"the webhook endpoint {link.endpoint} is left in Stripe (Expired API Key)")


@pytest.mark.parametrize(
    ("url", "livemode", "api_base", "reason"),
    [
        pytest.param("http://127.0.0.1:8400/x", False, None, "cannot reach 127.0.0.1", id="loopback"),
        pytest.param("https://10.1.2.3/x", True, None, "cannot reach 10.1.2.3", id="private"),
        pytest.param("https://flux/x", True, None, "cannot reach flux", id="no-domain"),
        pytest.param("https://flux.internal/x", True, None, "cannot reach", id="internal"),
        pytest.param("http://flux.example.com/x", True, None, "https addresses only", id="live-http"),
        pytest.param(
            "http://[::1]:8400/x", False, "https://api.stripe.com", "cannot reach ::1", id="stripe-by-name"
        ),
    ],
)
def test_an_address_that_stripe_cannot_reach_is_told(
    url: str, livemode: bool, api_base: str | None, reason: str
) -> None:
    found = why_unreachable(url, livemode=livemode, api_base=api_base)

    assert reason in str(found)
    assert "FLUX_PUBLIC_URL" in str(found)


@pytest.mark.parametrize(
    ("url", "livemode", "api_base"),
    [
        pytest.param("https://flux.example.com/x", True, None, id="public"),
        pytest.param("http://flux.example.com/x", False, None, id="test-http"),
        pytest.param("http://127.0.0.1:8400/x", True, "http://127.0.0.1:8420", id="sandbox"),
    ],
)
def test_an_address_that_it_can_reach_is_taken(url: str, livemode: bool, api_base: str | None) -> None:
    assert why_unreachable(url, livemode=livemode, api_base=api_base) is None
