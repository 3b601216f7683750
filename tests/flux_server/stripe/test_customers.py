from __future__ import annotations

import itertools

import pytest

from flux_middleware.errors import InvalidOrganizationError
from flux_server.organizations.forgetting import OrganizationLiveError, forget_organization
from flux_server.organizations.organizations import list_organizations, read_organization
from flux_server.stripe.customers import map_customer, unmap_customer
from flux_server.stripe.linking import set_link
from flux_server.stripe.owners import find_owners, forget_owner
from tests.flux_server.stripe.conftest import World


async def subscribe(world: World, *, customer: dict[str, str], own: dict[str, str] | None = None) -> None:
    world.stripe.put_customer(metadata=customer)
    world.stripe.put_subscription(metadata=own or {})
    await world.mark(("subscription", "sub_1"))
    await world.sync()


async def map_to(world: World, organization: str) -> None:
    async with world.database.write() as connection:
        await map_customer(connection, "test", "cus_1", organization, world.clock())


async def test_a_subscription_of_nobody_known_provisions_once_its_customer_is_mapped(world: World) -> None:
    await subscribe(world, customer={})
    called = world.stripe.calls.total()

    await map_to(world, "acme")

    assert await world.is_entitled("acme")
    assert world.stripe.calls.total() == called


async def test_an_explicit_mapping_outlives_what_the_metadata_says(world: World) -> None:
    await subscribe(world, customer={"organization_id": "globex"})

    await map_to(world, "acme")
    await world.mark(("customer", "cus_1"), ("subscription", "sub_1"))
    await world.sync()

    assert await world.is_entitled("acme")
    assert not await world.is_entitled("globex")


async def test_changed_metadata_moves_the_subscriptions(world: World) -> None:
    await subscribe(world, customer={"organization_id": "acme"})

    world.stripe.put_customer(metadata={"organization_id": "globex"})
    await world.mark(("customer", "cus_1"))
    await world.sync()

    assert not await world.is_entitled("acme")
    assert await world.is_entitled("globex")


async def test_a_subscription_may_name_its_organization_itself(world: World) -> None:
    await subscribe(world, customer={}, own={"organization_id": "acme"})

    assert await world.is_entitled("acme")


async def test_the_customers_word_counts_more_than_the_subscriptions(world: World) -> None:
    await subscribe(world, customer={"organization_id": "acme"}, own={"organization_id": "globex"})

    assert await world.is_entitled("acme")
    assert not await world.is_entitled("globex")


async def test_metadata_that_cannot_be_an_organization_names_nobody(world: World) -> None:
    await subscribe(world, customer={"organization_id": "x" * 300})

    await map_to(world, "acme")

    assert await world.is_entitled("acme")


async def test_another_metadata_key_reads_customers_again(world: World) -> None:
    await subscribe(world, customer={"tenant": "acme"})
    assert not await world.is_entitled("acme")

    await set_link(world.connector, "test", metadata_key="tenant")
    await world.sync()

    assert await world.is_entitled("acme")


async def test_a_checkout_binds_its_customer_to_the_organization_it_was_opened_for(world: World) -> None:
    await subscribe(world, customer={})
    session = {"id": "cs_1", "customer": "cus_1", "subscription": "sub_1", "client_reference_id": "acme"}
    world.stripe.put("/v1/checkout/sessions/cs_1", session)

    await world.mark(("checkout.session", "cs_1"))
    await world.sync()

    assert await world.is_entitled("acme")


SESSION = {"id": "cs_1", "customer": "cus_1", "subscription": "sub_1"}
PAID, BOUND, KNOWN = ("subscription", "sub_1"), ("checkout.session", "cs_1"), ("customer", "cus_1")


@pytest.mark.parametrize("order", list(itertools.permutations([PAID, BOUND, KNOWN])))
@pytest.mark.parametrize(
    ("metadata", "owner"),
    [({}, "acme"), ({"organization_id": "globex"}, "globex")],
    ids=["nobody-else-says", "the-metadata-says-more"],
)
async def test_a_checkout_binds_in_whatever_order_things_arrive(
    world: World, order: tuple[tuple[str, str], ...], metadata: dict[str, str], owner: str
) -> None:
    world.stripe.put_customer(metadata=metadata)
    world.stripe.put_subscription()
    world.stripe.put("/v1/checkout/sessions/cs_1", SESSION | {"client_reference_id": "acme"})

    for each in order:
        await world.mark(each)
        await world.sync()

    assert [name for name in ("acme", "globex") if await world.is_entitled(name)] == [owner]


async def test_a_checkout_may_name_the_organization_in_its_metadata(world: World) -> None:
    await subscribe(world, customer={})
    named = {"client_reference_id": None, "metadata": {"organization_id": "acme"}}
    world.stripe.put("/v1/checkout/sessions/cs_1", SESSION | named)

    await world.mark(BOUND)
    await world.sync()

    assert await world.is_entitled("acme")


async def test_an_impossible_organization_is_refused(world: World) -> None:
    with pytest.raises(InvalidOrganizationError):
        await map_to(world, "")


async def test_a_customer_that_is_mapped_makes_its_organization(world: World) -> None:
    await map_to(world, "acme")

    async with world.database.read() as connection:
        assert (await read_organization(connection, "test", "acme")).id == "acme"


async def test_a_customer_that_moves_takes_what_it_pays_along(world: World) -> None:
    await subscribe(world, customer={})
    await map_to(world, "acme")

    await map_to(world, "globex")

    assert not await world.is_entitled("acme")
    assert await world.is_entitled("globex")


async def test_a_customer_that_is_unmapped_is_whoever_its_metadata_says(world: World) -> None:
    await subscribe(world, customer={"organization_id": "globex"})
    await map_to(world, "acme")

    async with world.database.write() as connection:
        await unmap_customer(connection, "test", "cus_1", world.clock())
    assert not await world.is_entitled("acme")
    assert not await world.is_entitled("globex")
    await world.sync()

    assert await world.is_entitled("globex")


@pytest.mark.parametrize("name", ["cus_1", "sub_1"])
async def test_an_organization_is_found_by_customer_and_subscription(world: World, name: str) -> None:
    await subscribe(world, customer={}, own={"organization_id": "acme"})

    async with world.database.read() as connection:
        assert await find_owners(connection, "test", name) == {"acme"}
        assert await find_owners(connection, "test", name + "1") == set()


async def test_who_pays_is_not_forgotten_and_who_paid_is(world: World) -> None:
    await subscribe(world, customer={"organization_id": "acme"}, own={"organization_id": "acme"})
    async with world.database.write() as connection:
        with pytest.raises(OrganizationLiveError):
            await forget_organization(connection, "test", "acme", world.clock())

    world.stripe.put_subscription(status="canceled", ended_at=int(world.clock()))
    await world.mark(("subscription", "sub_1"))
    await world.sync()
    async with world.database.write() as connection:
        await forget_organization(connection, "test", "acme", world.clock())
        await forget_owner(connection, "test", "acme")
    await world.sync()

    async with world.database.read() as connection:
        assert await list_organizations(connection, "test") == ()
        assert await find_owners(connection, "test", "cus_1") == set()
