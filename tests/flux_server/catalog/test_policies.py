from __future__ import annotations

import pytest

from flux_middleware.snapshot import StatusPolicy
from flux_server.catalog.errors import InvalidPolicyError
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.policies import set_plan_policy, set_policy
from flux_server.catalog.reading import read_catalog
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from tests.flux_server.running import NOON

ENV = "test"
STRICT = StatusPolicy(
    leeway=0, grace=3600, statuses={"past_due": "revoke"}, pause_collection="until_period_end"
)


async def test_the_environments_policy_reaches_the_workers(database: Database) -> None:
    async with database.write() as connection:
        await set_policy(connection, ENV, STRICT, NOON)

        assert (await read_catalog(connection, ENV)).policy == STRICT
        assert (await read_catalog(connection, "live")).policy == StatusPolicy()


async def test_a_plans_policy_reaches_the_workers_and_can_be_taken_back(database: Database) -> None:
    async with database.write() as connection:
        await save_plan(connection, ENV, PlanDraft("pro"), NOON)
        await set_plan_policy(connection, ENV, "pro", STRICT, NOON)
        assert (await read_catalog(connection, ENV)).plan_policies == {"pro": STRICT}

        await set_plan_policy(connection, ENV, "pro", None, NOON)
        assert (await read_catalog(connection, ENV)).plan_policies == {}


async def test_setting_the_same_policy_again_changes_nothing(database: Database) -> None:
    async with database.write() as connection:
        await save_plan(connection, ENV, PlanDraft("pro"), NOON)
        for _ in range(2):
            await set_policy(connection, ENV, STRICT, NOON)
            await set_plan_policy(connection, ENV, "pro", STRICT, NOON)

        assert await current_revision(connection, ENV) == 2


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        pytest.param(StatusPolicy(leeway=-1), "leeway is 0 to", id="negative-leeway"),
        pytest.param(StatusPolicy(grace=10**9), "grace is 0 to", id="endless-grace"),
        pytest.param(StatusPolicy(statuses={"canceled": "grant"}), "only trialing, past_due", id="terminal"),
        pytest.param(StatusPolicy(statuses={"unpaid": "maybe"}), "grant, grace, revoke", id="effect"),
        pytest.param(StatusPolicy(pause_collection="never"), "pause_collection is", id="pause"),
    ],
)
async def test_a_policy_that_cannot_be_followed_is_refused(
    database: Database, policy: StatusPolicy, message: str
) -> None:
    async with database.write() as connection:
        with pytest.raises(InvalidPolicyError, match=message):
            await set_policy(connection, ENV, policy, NOON)


async def test_everything_that_is_wrong_with_a_policy_is_said_at_once(database: Database) -> None:
    async with database.write() as connection:
        with pytest.raises(InvalidPolicyError) as refused:
            await set_policy(connection, ENV, StatusPolicy(leeway=-1, grace=-1), NOON)

    assert len(refused.value.members["errors"]) == 2  # type: ignore[arg-type]  # members are of any type
