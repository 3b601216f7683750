from __future__ import annotations

import pytest

from flux_middleware.snapshot import Feature, Grant
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.features import save_feature
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice
from flux_server.database import Database
from flux_server.organizations.catalog_changes import apply_prices
from flux_server.organizations.catalog_documents import apply_document
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.records import read_record, refresh_record
from flux_server.subscriptions.matching import match_items, rematch_items, rename_price
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, save_subscription
from tests.flux_server.running import NOON

ENV = "test"
BOUGHT = ItemState("si_1", "price_1", lookup_key="pro_monthly", product="prod_1")


async def sell(database: Database, **prices: str) -> None:
    """Publish a plan of each name, sold by what is said."""
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        for plan, price in prices.items():
            draft = PlanDraft(plan, prices=(PlanPrice(price),), grants=(Grant("sso", True),))
            await save_plan(connection, ENV, draft, NOON)
            await publish_plan(connection, ENV, plan, existing="stay", now=NOON)


async def buy(database: Database, *organizations: str, item: ItemState = BOUGHT) -> None:
    """Save, and save again, what the organizations bought, as reading it from the processor does."""
    async with database.write() as connection:
        for name in organizations:
            await ensure_organization(connection, ENV, name, now=NOON)
            own = ItemState(f"si_{name}", item.price, lookup_key=item.lookup_key, product=item.product)
            state = SubscriptionState(f"sub_{name}", "active", name, (own,))
            await save_subscription(connection, ENV, state, NOON)
            await refresh_record(connection, ENV, name, NOON)


async def version_of(database: Database, organization: str = "acme") -> list[str]:
    async with database.read() as connection:
        record = await read_record(connection, ENV, organization)
    return [item.plan_version for each in record.subscriptions for item in each.items]


async def apply(database: Database) -> bool:
    async with database.write() as connection:
        return await apply_prices(connection, ENV, NOON)


@pytest.mark.parametrize(
    ("prices", "version"),
    [
        pytest.param({"one": "price_1"}, "one@1", id="by-id"),
        pytest.param({"one": "lookup_key:pro_monthly"}, "one@1", id="by-lookup-key"),
        pytest.param({"one": "product:prod_1"}, "one@1", id="by-product"),
        pytest.param({"a": "product:prod_1", "b": "lookup_key:pro_monthly"}, "b@1", id="key-before-product"),
        pytest.param({"a": "lookup_key:pro_monthly", "b": "price_1"}, "b@1", id="id-before-key"),
    ],
)
@pytest.mark.parametrize("first", ["sold", "bought"])
async def test_an_item_is_matched_by_the_most_particular_reference(
    database: Database, prices: dict[str, str], version: str, first: str
) -> None:
    if first == "bought":
        await buy(database, "acme")
    await sell(database, **prices)
    await buy(database, "acme")
    await apply(database)

    assert await version_of(database) == [version]


async def test_an_item_that_nothing_names_stays_unmatched(database: Database) -> None:
    await sell(database, pro="product:prod_2", team="lookup_key:team", old="price_2")
    await buy(database, "acme")

    async with database.write() as connection:
        assert await match_items(connection, ENV, limit=9) == (set(), False)


async def test_a_price_that_gets_a_lookup_key_later_gives_its_plan_to_exactly_those_that_pay_it(
    database: Database,
) -> None:
    await sell(database, pro="lookup_key:pro_monthly")
    await buy(database, "acme", "globex", item=ItemState("", "price_1"))
    await buy(database, "initech", item=ItemState("", "price_2"))

    async with database.write() as connection:
        assert await rename_price(connection, ENV, "price_1", lookup_key="pro_monthly", product="prod_1")
        assert await match_items(connection, ENV, limit=9) == ({"acme", "globex"}, False)


async def test_a_lookup_key_that_passes_to_another_price_takes_nothing_from_who_bought_it(
    database: Database,
) -> None:
    await sell(database, pro="lookup_key:pro_monthly")
    await buy(database, "acme")

    async with database.write() as connection:
        await rename_price(connection, ENV, "price_1", lookup_key=None, product="prod_1")
    await buy(database, "acme", item=ItemState("", "price_1", product="prod_1"))
    await apply(database)

    assert await version_of(database) == ["pro@1"]


def catalog(**prices: list[str]) -> object:
    plans = {plan: {"prices": prices[plan], "entitlements": {"sso": True}} for plan in prices}
    return {"features": {"sso": {"kind": "boolean"}}, "plans": plans}


@pytest.mark.parametrize("reference", ["price_1", "lookup_key:pro_monthly", "product:prod_1"])
@pytest.mark.parametrize(("existing", "version"), [("stay", "pro@1"), ("migrate", "team@1")])
async def test_a_price_that_moves_takes_who_bought_it_along_if_they_migrate(
    database: Database, reference: str, existing: str, version: str
) -> None:
    await sell(database, pro=reference, team="price_team")
    await buy(database, "acme")
    await apply(database)

    moved = read_document(catalog(pro=[], team=["price_team", reference]))
    async with database.write() as connection:
        await apply_document(connection, ENV, moved, existing=existing, now=NOON)  # type: ignore[arg-type]
    await buy(database, "acme")  # it is read from the processor again

    assert await version_of(database) == [version]


async def test_those_that_move_keep_what_they_have_until_their_turn_comes(database: Database) -> None:
    await sell(database, pro="price_1")
    await buy(database, "acme", "globex")
    await sell(database, team="product:prod_1")

    async with database.write() as connection:
        await rematch_items(connection, ENV, "team", ["product:prod_1"])
        assert await match_items(connection, ENV, limit=1) == ({"acme"}, True)
        assert await match_items(connection, ENV, limit=9) == ({"globex"}, False)
    assert await version_of(database) == ["pro@1"], "its own price is still plan pro's, which counts more"
