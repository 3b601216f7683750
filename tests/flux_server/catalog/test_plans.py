from __future__ import annotations

from typing import Any

import pytest

from flux_middleware.snapshot import Feature, Grant, Metric
from flux_server.catalog.errors import (
    InvalidCatalogError,
    MalformedPlanError,
    NothingToPublishError,
    PriceTakenError,
)
from flux_server.catalog.features import save_feature, save_metric
from flux_server.catalog.plans import PlanDraft, save_plan, set_default_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice, match_prices, read_catalog, read_feature, read_plan
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from flux_server.errors import ConflictError, InvalidRequestError, NotFoundError, RequestError
from tests.flux_server.running import NOON

ENV = "test"
PRO = PlanDraft("pro", "Pro", prices=(PlanPrice("price_1"),), grants=(Grant("sso", True), Grant("seats", 5)))


@pytest.fixture
async def catalog(database: Database) -> Database:
    """A database with the features `sso` and `seats` and the metric `api-calls`."""
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        await save_feature(connection, ENV, Feature("seats", "limit"), NOON)
        await save_metric(connection, ENV, Metric("api-calls"), NOON)
    return database


async def revision(database: Database) -> int:
    async with database.read() as connection:
        return await current_revision(connection, ENV)


async def publish(database: Database, draft: PlanDraft, existing: str = "stay") -> None:
    async with database.write() as connection:
        await save_plan(connection, ENV, draft, NOON)
        await publish_plan(connection, ENV, draft.key, existing=existing, now=NOON)


async def test_followers_see_published_versions_only(catalog: Database) -> None:
    before = await revision(catalog)
    async with catalog.write() as connection:
        plan = await save_plan(connection, ENV, PRO, NOON)

        assert plan.draft == (Grant("seats", 5), Grant("sso", True))
        assert (await read_catalog(connection, ENV)).plan_versions == ()
        assert await current_revision(connection, ENV) == before

        version = await publish_plan(connection, ENV, "pro", existing="stay", now=NOON)

        assert (await read_catalog(connection, ENV)).plan_versions == (version,)
        assert await current_revision(connection, ENV) == before + 1


async def test_saving_what_is_there_already_takes_no_revision(catalog: Database) -> None:
    await publish(catalog, PRO)
    before = await revision(catalog)

    async with catalog.write() as connection:
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        await save_metric(connection, ENV, Metric("api-calls"), NOON)
        await set_default_plan(connection, ENV, None, NOON)
        plan = await save_plan(connection, ENV, PRO, NOON)

    assert plan.draft is None
    assert await revision(catalog) == before


async def test_subscribers_stay_or_migrate_as_the_publisher_chooses(catalog: Database) -> None:
    await publish(catalog, PRO)
    await publish(catalog, PlanDraft("pro", grants=(Grant("seats", 6),)))
    before = await revision(catalog)
    await publish(catalog, PlanDraft("pro", grants=(Grant("seats", 7),)), existing="migrate")

    async with catalog.read() as connection:
        read = await read_catalog(connection, ENV)
    assert await revision(catalog) == before + 1, "one change on the wire"
    assert [version.replaced_by for version in read.plan_versions] == ["pro@3", "pro@3", None]
    effective = read.effective_version("pro@1")
    assert effective is not None
    assert effective.grants == (Grant("seats", 7),)


async def test_versions_replaced_earlier_keep_their_replacement(catalog: Database) -> None:
    await publish(catalog, PRO)
    await publish(catalog, PlanDraft("pro", grants=(Grant("seats", 6),)), existing="migrate")
    await publish(catalog, PlanDraft("pro", grants=(Grant("seats", 7),)), existing="migrate")

    async with catalog.read() as connection:
        read = await read_catalog(connection, ENV)
    assert [version.replaced_by for version in read.plan_versions] == ["pro@2", "pro@3", None]


async def test_a_price_sells_the_newest_published_version(catalog: Database) -> None:
    async with catalog.write() as connection:
        await save_plan(connection, ENV, PRO, NOON)
        assert await match_prices(connection, ENV) == {}
    await publish(catalog, PRO)
    await publish(
        catalog,
        PlanDraft("pro", prices=(PlanPrice("price_1", "api-calls"),), grants=(Grant("seats", 6),)),
    )

    async with catalog.read() as connection:
        match = (await match_prices(connection, ENV, ["price_1", "price_2"]))["price_1"]
        assert await match_prices(connection, ENV, ["price_2"]) == {}
        assert await match_prices(connection, "live") == {}
    assert match is not None
    assert (match.plan_version, match.metric) == ("pro@2", "api-calls")


async def test_the_default_plan_is_its_newest_version(catalog: Database) -> None:
    await publish(catalog, PRO)
    async with catalog.write() as connection:
        await set_default_plan(connection, ENV, "pro", NOON)
    await publish(catalog, PlanDraft("pro", grants=(Grant("seats", 6),)))

    async with catalog.write() as connection:
        assert (await read_catalog(connection, ENV)).default_plan == "pro@2"
        await set_default_plan(connection, ENV, None, NOON)
        assert (await read_catalog(connection, ENV)).default_plan is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"grants": (Grant("dark-mode", True),)}, "no feature 'dark-mode'; define", id="unknown"),
        pytest.param({"grants": (Grant("sso", 5),)}, "boolean: give true or false, not 5", id="number"),
        pytest.param({"grants": (Grant("sso", "unlimited"),)}, "'sso' is boolean", id="unlimited-boolean"),
        pytest.param({"grants": (Grant("seats", True),)}, "a whole number or", id="boolean-for-a-limit"),
        pytest.param({"grants": (Grant("seats", -1),)}, "from 0 to 9007199254740991, not -1", id="negative"),
        pytest.param({"grants": (Grant("seats", 2**60),)}, "from 0 to 9007199254740991", id="too-large"),
        pytest.param({"grants": (Grant("sso", True, True),)}, "cannot be granted per unit", id="per-unit"),
        pytest.param({"grants": (Grant("sso", True),) * 2}, "feature 'sso' is named twice", id="twice"),
        pytest.param({"prices": (PlanPrice("p"),) * 2}, "price 'p' is named twice", id="price-twice"),
        pytest.param({"prices": (PlanPrice(""),)}, "1 to 255 characters", id="empty-price"),
        pytest.param({"prices": (PlanPrice("p", "hits"),)}, "no metric 'hits'; define it first", id="metric"),
        pytest.param({"key": "Pro!"}, "a-z, 0-9", id="key"),
        pytest.param({"kind": "bundle"}, "'base' or 'addon', not 'bundle'", id="kind"),
    ],
)
async def test_a_malformed_plan_is_refused_whole(
    catalog: Database, changes: dict[str, Any], complaint: str
) -> None:
    draft = PlanDraft(**{"key": "pro", **changes})

    async with catalog.write() as connection:
        with pytest.raises(MalformedPlanError, match=complaint):
            await save_plan(connection, ENV, draft, NOON)
        with pytest.raises(NotFoundError):
            await read_plan(connection, ENV, draft.key)


async def test_everything_wrong_with_a_plan_is_said_at_once(catalog: Database) -> None:
    draft = PlanDraft("pro", grants=(Grant("sso", 5), Grant("seats", -1), Grant("teams", 1)))

    async with catalog.write() as connection:
        with pytest.raises(MalformedPlanError) as refused:
            await save_plan(connection, ENV, draft, NOON)

    errors = refused.value.members["errors"]
    assert isinstance(errors, list)
    assert len(errors) == 3


async def test_a_price_belongs_to_one_plan_only(catalog: Database) -> None:
    await publish(catalog, PRO)

    async with catalog.write() as connection:
        with pytest.raises(PriceTakenError, match="'price_1' belongs to plan 'pro'; take it from") as refused:
            await save_plan(connection, ENV, PlanDraft("team", prices=(PlanPrice("price_1"),)), NOON)
        await save_plan(connection, "live", PlanDraft("team", prices=(PlanPrice("price_1"),)), NOON)

    assert refused.value.members == {"price": "price_1", "plan": "pro"}


async def test_publishing_without_a_draft_is_refused(catalog: Database) -> None:
    await publish(catalog, PRO)

    async with catalog.write() as connection:
        with pytest.raises(NothingToPublishError, match="save other grants first"):
            await publish_plan(connection, ENV, "pro", existing="stay", now=NOON)
        with pytest.raises(NotFoundError, match="no plan 'team'"):
            await publish_plan(connection, ENV, "team", existing="stay", now=NOON)
        with pytest.raises(InvalidRequestError, match="'stay' or 'migrate', not 'vanish'"):
            await publish_plan(connection, ENV, "pro", existing="vanish", now=NOON)


async def test_what_is_published_does_not_change_its_meaning(catalog: Database) -> None:
    await publish(catalog, PRO)

    async with catalog.write() as connection:
        with pytest.raises(ConflictError, match="granted by pro@1 as boolean"):
            await save_feature(connection, ENV, Feature("sso", "limit"), NOON)
        with pytest.raises(ConflictError, match="published as 'base'"):
            await save_plan(connection, ENV, PlanDraft("pro", kind="addon"), NOON)


async def test_a_draft_is_checked_again_when_it_is_published(catalog: Database) -> None:
    async with catalog.write() as connection:
        await save_plan(connection, ENV, PRO, NOON)
        await save_feature(connection, ENV, Feature("sso", "limit"), NOON)

        with pytest.raises(MalformedPlanError, match="'sso' is a limit"):
            await publish_plan(connection, ENV, "pro", existing="stay", now=NOON)


@pytest.mark.parametrize(
    ("feature", "complaint"),
    [
        pytest.param(Feature("SSO", "boolean"), "a-z, 0-9", id="key"),
        pytest.param(Feature("calls", "boolean", metric="api-calls"), "only a limit", id="metric-of-boolean"),
        pytest.param(Feature("calls", "limit", metric="hits"), "no metric 'hits'; define", id="metric"),
        pytest.param(Feature("calls", "limit", merge="any"), "one of base_plus_addons, sum", id="merge"),
    ],
)
async def test_a_malformed_feature_is_refused(catalog: Database, feature: Feature, complaint: str) -> None:
    async with catalog.write() as connection:
        with pytest.raises(InvalidCatalogError, match=complaint):
            await save_feature(connection, ENV, feature, NOON)


async def test_a_boolean_is_merged_by_any(catalog: Database) -> None:
    async with catalog.read() as connection:
        assert (await read_feature(connection, ENV, "sso")).value.merge == "any"


@pytest.mark.parametrize(
    ("draft", "complaint"),
    [
        pytest.param(PlanDraft("seats-pack", kind="addon"), "is an add-on", id="add-on"),
        pytest.param(PlanDraft("team"), "no published version; publish it first", id="unpublished"),
    ],
)
async def test_an_unfit_default_plan_is_refused(catalog: Database, draft: PlanDraft, complaint: str) -> None:
    async with catalog.write() as connection:
        await save_plan(connection, ENV, draft, NOON)

        with pytest.raises(RequestError, match=complaint):
            await set_default_plan(connection, ENV, draft.key, NOON)
