from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Row, select

from flux_server.organizations.organizations import ensure_organization
from flux_server.stripe.customers import map_customer
from flux_server.stripe.planning import Target, choose_target, identify, plan_forwarding
from flux_server.stripe.tables import stripe_outbox
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World, subscribe_metered

FIRST = Target(
    organization="acme",
    metric="calls",
    item="si_1",
    customer="cus_1",
    meter="mtr_1",
    event_name="calls",
    customer_key="stripe_customer_id",
    value_key="value",
    started_at=1000,
    ended_at=2000,
)
SECOND = replace(FIRST, item="si_2", started_at=1500, ended_at=None)


@pytest.mark.parametrize(
    ("bucket", "item"),
    [
        pytest.param(999, None, id="before-anything-began"),
        pytest.param(1000, "si_1", id="as-it-began"),
        pytest.param(1600, "si_1", id="two-run-the-older-bills"),
        pytest.param(2000, "si_2", id="the-older-has-ended"),
    ],
)
def test_a_bucket_is_billed_by_one_subscription_that_ran_then(bucket: int, item: str | None) -> None:
    chosen = choose_target([SECOND, FIRST], bucket)

    assert (chosen.item if chosen else None) == item


def test_identifiers_are_stable_and_short() -> None:
    named = identify("instance", FIRST, 3600, 1)

    assert named == identify("instance", replace(FIRST, item="si_9", started_at=0), 3600, 1)
    assert named.startswith("fx1_")
    assert len(named) == 44


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("another", FIRST, 3600, 1), id="environment-made-anew"),
        pytest.param(("instance", replace(FIRST, customer="cus_2"), 3600, 1), id="customer"),
        pytest.param(("instance", replace(FIRST, organization="globex"), 3600, 1), id="organization"),
        pytest.param(("instance", replace(FIRST, meter="mtr_2"), 3600, 1), id="meter"),
        pytest.param(("instance", FIRST, 7200, 1), id="bucket"),
        pytest.param(("instance", FIRST, 3600, 2), id="revision"),
    ],
)
def test_identifiers_differ_in_all_that_is_billed_apart(other: tuple[str, Target, int, int]) -> None:
    assert identify(*other) != identify("instance", FIRST, 3600, 1)


async def plan(world: World) -> list[Row[tuple[object, ...]]]:
    async with world.database.write() as connection:
        await plan_forwarding(connection, "test", world.clock())
        return list(await connection.execute(select(stripe_outbox).order_by(stripe_outbox.c.revision)))


async def test_each_revision_carries_what_the_earlier_ones_did_not(world: World) -> None:
    await subscribe_metered(world)

    for total in (90, 90, 100):
        await world.use(total, bucket=NOON)
        planned = await plan(world)

    assert [(row.revision, row.value) for row in planned] == [(1, 90), (2, 10)]
    assert {row.timestamp for row in planned} == {NOON}


async def test_usage_from_before_the_subscription_is_never_billed(world: World) -> None:
    await subscribe_metered(world, start_date=NOON)
    await world.use(50, bucket=NOON - 3600)
    await world.use(7, bucket=NOON)

    assert [row.value for row in await plan(world)] == [7]


async def test_usage_that_came_before_the_news_of_its_subscription_is_billed(world: World) -> None:
    async with world.database.write() as connection:
        await ensure_organization(connection, "test", "org-1", now=NOON)
    await world.use(7, bucket=NOON)
    assert await plan(world) == []

    await subscribe_metered(world, start_date=NOON)

    assert [row.value for row in await plan(world)] == [7]


async def test_usage_of_a_subscription_that_was_never_paid_is_not_billed(world: World) -> None:
    await subscribe_metered(world, status="incomplete")
    await world.use(7, bucket=NOON)

    assert await plan(world) == []


@pytest.mark.parametrize(
    "meter",
    [
        pytest.param({"default_aggregation": {"formula": "count"}}, id="counts-events"),
        pytest.param({"event_time_window": "hour"}, id="keeps-the-last-of-an-hour"),
        pytest.param({"status": "inactive"}, id="switched-off"),
    ],
)
async def test_a_meter_that_differences_would_mislead_gets_none(
    world: World, meter: dict[str, object]
) -> None:
    await subscribe_metered(world, meter=meter)
    await world.use(7, bucket=NOON)

    assert await plan(world) == []


async def test_a_price_that_bills_no_metric_forwards_nothing(unlinked: World) -> None:
    await unlinked.link()
    await unlinked.sell(metric=None)
    await subscribe_metered(unlinked)
    await unlinked.use(7, bucket=NOON)

    assert await plan(unlinked) == []


async def test_a_value_too_large_for_stripe_is_a_dead_letter(world: World) -> None:
    await subscribe_metered(world)
    await world.use(10**15, bucket=NOON)

    (row,) = await plan(world)

    assert (row.state, row.error) == ("dead", "Stripe takes values of up to 15 digits")


async def test_usage_waits_for_its_customer_to_be_mapped(world: World) -> None:
    await subscribe_metered(world, metadata={})
    await world.use(7, bucket=NOON)
    assert await plan(world) == []

    async with world.database.write() as connection:
        await map_customer(connection, "test", "cus_1", "org-1", NOON)

    assert [row.customer for row in await plan(world)] == ["cus_1"]
