from __future__ import annotations

from sqlalchemy import delete, insert, update

from flux_server.stripe.dirty import claim_due, put_back
from flux_server.stripe.examining import read_case
from flux_server.stripe.figures import Figures, read_figures
from flux_server.stripe.health import Heard, read_health
from flux_server.stripe.tables import stripe_active_entitlements, stripe_links, stripe_sweeps
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World
from tests.flux_server.stripe.logged import log_event

HOUR, DAY = 3_600, 86_400


async def test_what_came_lately_is_counted(world: World) -> None:
    async with world.database.write() as connection:
        await log_event(connection, "evt_old", NOON - DAY)
        await log_event(connection, "evt_day", NOON - HOUR)
        await log_event(connection, "evt_hour", NOON - 60, type="customer.created")
        await log_event(connection, "evt_missed", NOON, deliveries=0)

        health = await read_health(connection, "test", NOON)

    assert health.heard == Heard("evt_hour", "customer.created", NOON - 60, 2, 3, 1, 0, None, None)


async def test_what_waits_and_what_could_not_be_read_is_shown(world: World) -> None:
    await world.mark(("subscription", "sub_8"), ("subscription", "sub_9"))
    async with world.database.write() as connection:
        (claim,) = await claim_due(connection, "test", "subscription", NOON, 1)
        await put_back(connection, claim, "Stripe is down", not_before=NOON + 5)

        health = await read_health(connection, "test", NOON + 90)

    assert (health.waiting, health.waiting_since) == (2, NOON)
    assert [each.error for each in health.failed] == ["Stripe is down"]


async def test_the_sweep_that_runs_and_the_one_that_ended_are_told_apart(world: World) -> None:
    async with world.database.write() as connection:
        await connection.execute(delete(stripe_sweeps))
        for name, start, end in (("a", NOON - DAY, NOON - DAY + 60), ("b", NOON - 9, None)):
            values = {"started_at": start, "finished_at": end, "reason": "nightly", "seen": 3, "drifted": 2}
            await connection.execute(insert(stripe_sweeps).values(environment="test", id=name, **values))

        health = await read_health(connection, "test", NOON)
        figures = await read_figures(connection, NOON)

    assert health.sweep is not None
    assert (health.sweep.id, health.sweep.finished_at) == ("b", None)
    assert health.swept_at == NOON - DAY + 60
    assert figures == {"test": Figures(False, 0, 0, 0, 0)}


async def test_what_the_link_remembers_is_shown(world: World) -> None:
    async with world.database.write() as connection:
        values = {"events_until": NOON - 60, "status": "paused"}
        await connection.execute(update(stripe_links).values(values))

        health = await read_health(connection, "test", NOON)
        figures = await read_figures(connection, NOON)

    assert health.looked_until == NOON - 60
    assert figures["test"].paused


async def test_features_that_stripe_grants_and_nobody_knows_are_found(world: World) -> None:
    async with world.database.write() as connection:
        for number, key in enumerate(("sso", "export", "export")):
            row = {
                "environment": "test",
                "customer": f"cus_{number}",
                "lookup_key": key,
                "id": f"ent_{number}",
            }
            await connection.execute(insert(stripe_active_entitlements).values(row))

        case = await read_case(world.connector, connection, "test")

    assert case.strangers == ("export",)
    assert case.unreachable is None  # a sandbox runs where it can reach us
