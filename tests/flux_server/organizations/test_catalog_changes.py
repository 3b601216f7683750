from __future__ import annotations

from flux_middleware.snapshot import Feature, Grant
from flux_server.catalog.features import save_feature
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice
from flux_server.database import Database
from flux_server.organizations.catalog_changes import apply_prices
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.records import read_record, refresh_record
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, save_subscription
from tests.flux_server.running import NOON

ENV = "test"


async def test_who_paid_before_the_price_was_mapped_gets_the_plan(database: Database) -> None:
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        for name in ("acme", "umbrella"):
            await ensure_organization(connection, ENV, name, now=NOON)
            items = (ItemState(f"si-{name}", f"price-{name}"),)
            await save_subscription(
                connection, ENV, SubscriptionState(f"sub-{name}", "active", name, items), NOON
            )
            await refresh_record(connection, ENV, name, NOON)
        draft = PlanDraft("pro", prices=(PlanPrice("price-acme"),), grants=(Grant("sso", True),))
        await save_plan(connection, ENV, draft, NOON)
        await apply_prices(connection, ENV, NOON)
        assert not (await read_record(connection, ENV, "acme")).subscriptions[0].items, "nothing is published"

        await publish_plan(connection, ENV, "pro", existing="stay", now=NOON)
        assert not await apply_prices(connection, ENV, NOON), "nobody is left"

        record = await read_record(connection, ENV, "acme")
        assert [item.plan_version for item in record.subscriptions[0].items] == ["pro@1"]
        assert (await read_record(connection, ENV, "umbrella")).subscriptions[0].items == ()
