from __future__ import annotations

from typing import Any

import pytest

from flux_middleware.snapshot import Feature
from flux_server.catalog.features import save_feature
from flux_server.organizations.overrides import add_override, list_overrides
from flux_server.organizations.records import read_record
from flux_server.stripe.active_entitlements import take_back_everywhere
from flux_server.stripe.customers import map_customer
from flux_server.stripe.linking import end_link, set_link
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World

ACTIVE = "/v1/entitlements/active_entitlements"


def entitle(world: World, *lookup_keys: str) -> None:
    """Let Stripe entitle whoever is asked about to these."""
    world.stripe.lists[ACTIVE] = [
        {"id": f"ent_{key}", "object": "entitlements.active_entitlement", "lookup_key": key}
        for key in lookup_keys
    ]


@pytest.fixture
async def source(world: World) -> World:
    """A world whose link takes Stripe's own entitlements; customer cus_1 is acme, and entitled to `extra`."""
    async with world.database.write() as connection:
        await save_feature(connection, "test", Feature("extra", "boolean"), NOON)
    await set_link(world.connector, "test", stripe_entitlements=True)
    world.stripe.put_customer(metadata={"organization_id": "acme"})
    entitle(world, "extra")
    await world.mark(("customer", "cus_1"))
    await world.sync()
    return world


async def override(world: World, **fields: Any) -> None:
    async with world.database.write() as connection:
        await add_override(connection, "test", "acme", feature="extra", now=NOON, **fields)


async def test_an_active_entitlement_grants_the_feature_and_says_so(source: World) -> None:
    assert await source.is_entitled("acme", "extra")
    async with source.database.read() as connection:
        (grant,) = (await read_record(connection, "test", "acme")).overrides
        assert await list_overrides(connection, "test", "acme") == (), "nobody made it here"
    assert (grant.author, grant.reason) == ("Stripe", "active entitlement extra of customer cus_1")


async def test_every_page_of_entitlements_counts(source: World) -> None:
    keys = [f"feature-{number}" for number in range(125)]
    async with source.database.write() as connection:
        await save_feature(connection, "test", Feature("feature-124", "boolean"), NOON)
    entitle(source, *keys)

    await source.mark(("customer", "cus_1"))
    await source.sync()

    assert await source.is_entitled("acme", "feature-124")
    assert not await source.is_entitled("acme", "extra")


async def test_a_lookup_key_in_another_way_of_writing_is_the_same_key(source: World) -> None:
    entitle(source, "Extra")

    await source.mark(("active_entitlements", "cus_1"))
    await source.sync()

    assert await source.is_entitled("acme", "extra")


async def test_without_the_option_stripe_is_not_even_asked(world: World) -> None:
    world.stripe.put_customer(metadata={"organization_id": "acme"})

    await world.mark(("customer", "cus_1"))
    await world.sync()

    assert world.stripe.calls[ACTIVE] == 0


@pytest.mark.parametrize(
    ("fields", "entitled"),
    [
        pytest.param({"effect": "deny"}, False, id="a-denial-wins"),
        pytest.param({"effect": "set", "value": False}, False, id="our-own-word-counts"),
        pytest.param({"effect": "set", "value": False, "until": NOON + 60}, False, id="while-it-lasts"),
        pytest.param({"effect": "set", "value": False, "since": NOON + 60}, True, id="not-before-it-begins"),
    ],
)
async def test_an_override_of_ours_is_above_what_stripe_grants(
    source: World, fields: dict[str, Any], entitled: bool
) -> None:
    await override(source, **fields)

    assert await source.is_entitled("acme", "extra") == entitled


async def test_a_grant_comes_back_when_an_override_is_over_with_nobody_asked(source: World) -> None:
    await override(source, effect="set", value=False, since=NOON + 60, until=NOON + 120)

    found = []
    for moment in (NOON, NOON + 60, NOON + 120):
        source.clock.now = moment
        found.append(await source.is_entitled("acme", "extra"))

    assert found == [True, False, True]


async def test_a_limit_of_the_same_key_stays_as_it_is(source: World) -> None:
    async with source.database.write() as connection:
        await save_feature(connection, "test", Feature("seats", "limit"), NOON)
        await add_override(
            connection, "test", "acme", feature="seats", effect="set", value=7, until=NOON + 9, now=NOON
        )
    entitle(source, "seats")

    await source.mark(("active_entitlements", "cus_1"))
    await source.sync()

    assert not await source.is_entitled("acme", "seats")


async def test_a_customer_that_becomes_another_organization_takes_them_along(source: World) -> None:
    async with source.database.write() as connection:
        await map_customer(connection, "test", "cus_1", "globex", NOON)

    assert await source.is_entitled("globex", "extra")
    assert not await source.is_entitled("acme", "extra")


async def test_a_deleted_customer_is_entitled_to_nothing(source: World) -> None:
    source.stripe.put("/v1/customers/cus_1", {"id": "cus_1", "object": "customer", "deleted": True})

    await source.mark(("customer", "cus_1"))
    await source.sync()

    assert not await source.is_entitled("acme", "extra")


async def test_a_subscription_that_names_its_organization_brings_its_customers_entitlements(
    source: World,
) -> None:
    source.stripe.put_customer("cus_2")
    source.stripe.put_subscription("sub_2", customer="cus_2", metadata={"organization_id": "globex"})

    await source.mark(("subscription", "sub_2"))
    await source.sync()

    assert await source.is_entitled("globex", "extra")


@pytest.mark.parametrize("how", ["switched-off", "unlinked"])
async def test_what_does_not_count_any_more_is_taken_away(source: World, how: str) -> None:
    if how == "unlinked":
        await end_link(source.connector, "test")
    else:
        await set_link(source.connector, "test", stripe_entitlements=False)

    assert not await source.is_entitled("acme", "extra")
    assert not await take_back_everywhere(source.connector)
