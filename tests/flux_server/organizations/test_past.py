from __future__ import annotations

import pytest

from flux_middleware.snapshot import Feature, Grant, StatusPolicy
from flux_server.catalog.features import save_feature
from flux_server.catalog.past import read_catalog_at
from flux_server.catalog.plans import PlanDraft, save_plan, set_default_plan
from flux_server.catalog.policies import set_plan_policy, set_policy
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import read_catalog
from flux_server.database import Database
from flux_server.environments.history import read_history
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.overrides import add_override, remove_override
from flux_server.organizations.past import read_standing_at, read_standing_now
from tests.flux_server.running import NOON

ENV = "test"
HOUR = 3600


async def publish(database: Database, seats: int, at: float, existing: str = "migrate") -> None:
    async with database.write() as connection:
        await save_plan(connection, ENV, PlanDraft("free", grants=(Grant("seats", seats),)), at)
        await publish_plan(connection, ENV, "free", existing=existing, now=at)
        await set_default_plan(connection, ENV, "free", at)


@pytest.fixture
async def past(database: Database) -> Database:
    """An hour apart: one seat for free, two seats, an override to ten for acme, and its end."""
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("seats", "limit"), NOON)
        await ensure_organization(connection, ENV, "acme", now=NOON)
    await publish(database, 1, NOON)
    await publish(database, 2, NOON + HOUR)
    async with database.write("ada@example.com") as connection:
        override = await add_override(
            connection,
            ENV,
            "acme",
            feature="seats",
            effect="set",
            value=10,
            reason="trial",
            now=NOON + 2 * HOUR,
        )
    async with database.write("grace@example.com") as connection:
        await remove_override(connection, ENV, "acme", override.id, now=NOON + 3 * HOUR)
    return database


@pytest.mark.parametrize(
    ("hours", "seats"),
    [
        pytest.param(-0.1, None, id="before-there-was-a-plan"),
        pytest.param(0, 1, id="first-version"),
        pytest.param(0.9, 1, id="just-before-the-second"),
        pytest.param(1, 2, id="second-version"),
        pytest.param(2.5, 10, id="while-overridden"),
        pytest.param(3, 2, id="since-the-override-ended"),
    ],
)
async def test_an_organization_is_seen_as_it_stood(past: Database, hours: float, seats: int | None) -> None:
    async with past.read() as connection:
        standing = await read_standing_at(connection, ENV, "acme", NOON + hours * HOUR)

    found = standing.entitlements.by_feature.get("seats")
    assert (found and found.value) == seats


async def test_the_newest_past_is_the_present(past: Database) -> None:
    async with past.write() as connection:
        await set_policy(connection, ENV, StatusPolicy(grace=5), NOON + 4 * HOUR)
        await set_plan_policy(connection, ENV, "free", StatusPolicy(leeway=9), NOON + 4 * HOUR)

    async with past.read() as connection:
        now = NOON + 5 * HOUR
        assert await read_catalog_at(connection, ENV, now) == await read_catalog(connection, ENV)
        assert await read_standing_at(connection, ENV, "acme", now) == await read_standing_now(
            connection, ENV, "acme", now
        )


async def test_who_changed_an_organization_is_known(past: Database) -> None:
    async with past.read() as connection:
        removed, added = await read_history(connection, ENV, kinds=["record"], subject="acme", limit=9)

    assert (removed.actor, added.actor) == ("grace@example.com", "ada@example.com")
    assert "trial" in (added.after or "")
    assert removed.before == added.after


async def test_a_migration_shows_only_from_when_it_was_published(past: Database) -> None:
    async with past.read() as connection:
        before = await read_catalog_at(connection, ENV, NOON)
        after = await read_catalog_at(connection, ENV, NOON + HOUR)

    assert [version.replaced_by for version in before.plan_versions] == [None]
    assert [version.replaced_by for version in after.plan_versions] == ["free@2", None]


async def test_of_an_organization_never_heard_of_the_past_is_empty(past: Database) -> None:
    async with past.read() as connection:
        standing = await read_standing_at(connection, ENV, "nobody", NOON)

    assert standing.record.subscriptions == ()
    assert standing.entitlements.by_feature["seats"].value == 1
