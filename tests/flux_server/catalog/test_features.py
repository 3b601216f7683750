from __future__ import annotations

import pytest

from flux_middleware.snapshot import Feature, Grant, Metric
from flux_server.catalog import features as catalog_features
from flux_server.catalog.errors import (
    ArchivedError,
    CatalogFullError,
    InvalidCatalogError,
    MalformedPlanError,
)
from flux_server.catalog.features import archive_feature, archive_metric, save_feature, save_metric
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.reading import PlanPrice, describe_features, read_feature, read_metric
from flux_server.database import Database
from flux_server.environments.history import read_history
from flux_server.environments.revisions import current_revision
from tests.flux_server.running import NOON

ENV = "test"
SSO = Feature("sso", "boolean", name="SSO", merge="any")


async def define(database: Database, feature: Feature, description: str = "") -> int:
    """Define the feature; return the revision afterwards."""
    async with database.write() as connection:
        await save_feature(connection, ENV, feature, NOON, description=description)
        return await current_revision(connection, ENV)


async def test_a_description_is_kept_and_is_no_change_for_workers(database: Database) -> None:
    before = await define(database, SSO)
    after = await define(database, SSO, "Sign in by the customer's own identity provider")

    async with database.read() as connection:
        described = await read_feature(connection, ENV, "sso")
    assert described.description == "Sign in by the customer's own identity provider"
    assert after == before


async def test_defining_the_same_again_leaves_no_trace(database: Database) -> None:
    await define(database, SSO, "words")
    await define(database, SSO, "words")

    async with database.read() as connection:
        assert len(await read_history(connection, ENV, kinds=["feature"], limit=9)) == 1


async def test_an_archived_feature_goes_into_no_new_draft_until_it_is_restored(database: Database) -> None:
    await define(database, SSO)
    plan = PlanDraft("pro", grants=(Grant("sso", True),))
    async with database.write() as connection:
        await archive_feature(connection, ENV, "sso", NOON)
        with pytest.raises(MalformedPlanError, match="'sso' is archived; restore it"):
            await save_plan(connection, ENV, plan, NOON)

        await archive_feature(connection, ENV, "sso", NOON, archived=False)
        assert (await save_plan(connection, ENV, plan, NOON)).draft == plan.grants


async def test_an_archived_feature_or_metric_is_not_changed(database: Database) -> None:
    async with database.write() as connection:
        await save_feature(connection, ENV, SSO, NOON)
        await save_metric(connection, ENV, Metric("api-calls"), NOON)
        await archive_feature(connection, ENV, "sso", NOON)
        await archive_metric(connection, ENV, "api-calls", NOON)

        with pytest.raises(ArchivedError, match="restore it before"):
            await save_feature(connection, ENV, SSO, NOON, description="more")
        with pytest.raises(ArchivedError, match="restore it before"):
            await save_metric(connection, ENV, Metric("api-calls", unit="call"), NOON)
        assert (await read_metric(connection, ENV, "api-calls")).archived_at == NOON


async def test_an_archived_metric_serves_what_it_served_and_nothing_new(database: Database) -> None:
    limit = Feature("calls", "limit", metric="api-calls")
    plan = PlanDraft("pro", prices=(PlanPrice("price_1", "api-calls"),))
    async with database.write() as connection:
        await save_metric(connection, ENV, Metric("api-calls"), NOON)
        await save_feature(connection, ENV, limit, NOON)
        await save_plan(connection, ENV, plan, NOON)
        await archive_metric(connection, ENV, "api-calls", NOON)

        await save_feature(connection, ENV, limit, NOON, description="as before")
        await save_plan(connection, ENV, PlanDraft("pro", "Pro", prices=plan.prices), NOON)
        with pytest.raises(InvalidCatalogError, match="'api-calls' is archived; restore it"):
            await save_feature(connection, ENV, Feature("more", "limit", metric="api-calls"), NOON)
        with pytest.raises(MalformedPlanError, match="'api-calls' is archived; restore it"):
            await save_plan(
                connection, ENV, PlanDraft("team", prices=(PlanPrice("price_2", "api-calls"),)), NOON
            )


async def test_archiving_twice_keeps_the_first_moment(database: Database) -> None:
    await define(database, SSO)
    async with database.write() as connection:
        await archive_feature(connection, ENV, "sso", NOON)
        await archive_feature(connection, ENV, "sso", NOON + 60)

        assert (await read_feature(connection, ENV, "sso")).archived_at == NOON


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        pytest.param(Feature("x", "number"), "'boolean' or 'limit'", id="kind"),
        pytest.param(Feature("x", "limit", merge="average"), "merge is one of", id="merge"),
        pytest.param(Feature("x", "limit", reset="hour"), "reset is one of", id="reset"),
        pytest.param(Feature("x", "limit", enforcement="firm"), "enforcement is one of", id="enforcement"),
        pytest.param(
            Feature("x", "limit", metric="calls"), "no metric 'calls'; define it first", id="metric"
        ),
        pytest.param(Feature("x", "boolean", metric="calls"), "only a limit", id="metric-of-a-boolean"),
        pytest.param(Feature("X!", "boolean"), "a key is", id="key"),
    ],
)
async def test_a_feature_that_makes_no_sense_is_refused(
    database: Database, feature: Feature, message: str
) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        await define(database, feature)


async def test_there_is_an_end_to_how_many_features_there_can_be(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_features, "MAX_FEATURES", 1)  # ten thousand would only take longer
    await define(database, SSO)

    with pytest.raises(CatalogFullError, match="at most 1 features"):
        await define(database, Feature("seats", "limit"))
    async with database.read() as connection:
        assert [described.value for described in await describe_features(connection, ENV)] == [SSO]
