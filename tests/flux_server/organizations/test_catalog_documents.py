"""Catalog documents on both databases: read, compared, applied whole or not at all."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings

from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.catalog.document_changes import Change, Difference
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.document_state import document_of, outcome
from flux_server.catalog.errors import CatalogMovedError, InvalidDocumentError
from flux_server.catalog.past import read_catalog_at
from flux_server.catalog.reading import read_catalog
from flux_server.catalog.state import read_state
from flux_server.catalog.values import Existing
from flux_server.database import Database
from flux_server.environments.environments import ensure_environment
from flux_server.environments.history import read_history
from flux_server.environments.revisions import current_revision
from flux_server.organizations.catalog_documents import (
    apply_document,
    compare_document,
    read_live_document,
)
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.records import read_record
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, save_subscription
from tests.flux_server.catalog.documents import SHOP, documents, edited, said
from tests.flux_server.running import NOON

ENV = "test"


async def apply(
    database: Database, document: CatalogDocument, existing: Existing = "stay", environment: str = ENV
) -> Difference:
    async with database.write("a test") as connection:
        return await apply_document(connection, environment, document, existing=existing, now=NOON)


async def compare(database: Database, document: CatalogDocument) -> tuple[Change, ...]:
    async with database.read() as connection:
        return (await compare_document(connection, ENV, document)).changes


async def live(database: Database) -> CatalogDocument:
    async with database.read() as connection:
        return (await read_live_document(connection, ENV))[0]


async def revision(database: Database) -> int:
    async with database.read() as connection:
        return await current_revision(connection, ENV)


async def subscribe(database: Database, organization: str, *prices: str) -> None:
    items = tuple(ItemState(f"{organization}-{price}", price) for price in prices)
    async with database.write() as connection:
        await ensure_organization(connection, ENV, organization, now=NOON)
        state = SubscriptionState(f"sub-{organization}", "active", organization, items)
        await save_subscription(connection, ENV, state, NOON)


async def test_what_was_applied_is_live(database: Database) -> None:
    told = await compare(database, SHOP)
    done = await apply(database, SHOP)

    assert done.changes == told
    assert document_json(await live(database)) == document_json(SHOP)
    assert await compare(database, SHOP) == ()


async def test_applying_again_changes_nothing(database: Database) -> None:
    first = await apply(database, SHOP)
    before = await revision(database)
    async with database.read() as connection:
        state = await read_state(connection, ENV)

    again = await apply(database, SHOP)

    assert (again.changes, again.etag) == ((), first.etag)
    assert await revision(database) == before
    async with database.read() as connection:
        assert await read_state(connection, ENV) == state


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents())
async def test_any_document_takes_the_place_of_any_other(
    database: Database, document: CatalogDocument
) -> None:
    async with database.read() as connection:
        before = await read_state(connection, ENV)
    try:
        await apply(database, document, "migrate")
    except InvalidDocumentError:
        document = document_of(before)  # a kind cannot change, and nothing was

    async with database.read() as connection:
        after = await read_state(connection, ENV)
        past = await read_catalog_at(connection, ENV, NOON)
        assert past == await read_catalog(connection, ENV), "the history knows it all"
    assert document_json(document_of(after)) == document_json(document)
    assert after == outcome(before, document, existing="migrate", now=NOON)


async def test_a_whole_catalog_is_one_change_on_the_wire(database: Database) -> None:
    before = await revision(database)
    await apply(database, SHOP)
    assert await revision(database) == before + 1

    await apply(database, edited(SHOP, "features", "sso", "description", to="Single sign-on"))
    assert await revision(database) == before + 1, "followers do not see descriptions"


async def test_a_catalog_of_the_largest_size_is_one_document(database: Database) -> None:
    features = {f"f{number}": {"kind": "limit"} for number in range(10_000)}
    plans = {
        f"p{number}": {
            "prices": [f"price_{number}_{position}" for position in range(40)],
            "entitlements": {f"f{number + position}": position for position in range(20)},
        }
        for number in range(1_000)
    }
    document = read_document({"features": features, "plans": plans})
    before = await revision(database)

    done = await apply(database, document)

    assert len(done.changes) == 12_000
    assert await compare(database, document) == ()
    assert await revision(database) == before + 1


async def test_the_history_names_who_applied_it(database: Database) -> None:
    await apply(database, SHOP)

    async with database.read() as connection:
        entries = await read_history(connection, ENV, kinds=("metric", "feature", "plan"), limit=100)

    assert {entry.actor for entry in entries} == {"a test"}
    assert sorted((entry.kind, entry.subject) for entry in entries) == [
        ("feature", "calls"),
        ("feature", "seats"),
        ("feature", "sso"),
        ("metric", "api-calls"),
        ("plan", "free"),
        ("plan", "pack"),
        ("plan", "pro"),
    ]


async def test_a_document_that_is_wrong_anywhere_changes_nothing(database: Database) -> None:
    await apply(database, SHOP)
    wrong = edited(edited(SHOP, "plans", "free", "name", to="Free"), "plans", "pro", "kind", to="addon")

    with pytest.raises(InvalidDocumentError, match=r"plans\.pro\.kind: it is published as 'base'"):
        await apply(database, wrong)

    assert await live(database) == SHOP


async def test_prices_go_around_in_a_circle(database: Database) -> None:
    await apply(database, SHOP)
    document = SHOP
    for plan, price in (("free", "price_month"), ("pro", "price_pack"), ("pack", "new")):
        document = edited(document, "plans", plan, "prices", to=[price])

    await apply(database, document)

    assert document_json(await live(database)) == document_json(document)


async def test_each_change_of_a_plan_says_how_many_subscribe_to_it(database: Database) -> None:
    await apply(database, SHOP)
    await subscribe(database, "acme", "price_month", "price_pack")
    await subscribe(database, "umbrella", "price_month")
    more = edited(SHOP, "plans", "pro", "entitlements", "seats", to=50)
    await apply(database, more)
    await subscribe(database, "initech", "price_month")
    without = edited(edited(more, "plans", "pro", "name", to="P"), "plans", "pack")

    changes = await compare(database, edited(without, "plans", "new", to={}))

    assert said(changes) == ["add plan new", "publish plan new", "archive plan pack", "change plan pro"]
    assert [change.organizations for change in changes] == [None, None, 1, 3]


async def test_who_paid_before_the_price_was_on_sale_gets_the_plan(database: Database) -> None:
    await subscribe(database, "acme", "price_month")

    await apply(database, SHOP)

    async with database.read() as connection:
        record = await read_record(connection, ENV, "acme")
    assert [item.plan_version for item in record.subscriptions[0].items] == ["pro@1"]


async def test_a_catalog_that_moved_meanwhile_is_left_alone(database: Database) -> None:
    await apply(database, SHOP)
    renamed = edited(SHOP, "plans", "pro", "name", to="Professional")
    async with database.read() as connection:
        seen = (await compare_document(connection, ENV, renamed)).etag
    moved = edited(SHOP, "plans", "pro", "description", to="somebody else's")
    await apply(database, moved)

    async with database.write() as connection:
        with pytest.raises(CatalogMovedError, match="compare again, then apply"):
            await apply_document(connection, ENV, renamed, existing="stay", now=NOON, only_if={seen})
    assert await live(database) == moved


async def test_two_who_apply_at_once_queue_up(database: Database) -> None:
    names = [edited(SHOP, "plans", "pro", "name", to=name) for name in ("One", "Two")]

    done = await asyncio.gather(*(apply(database, document) for document in names))

    assert sorted(len(difference.changes) for difference in done) == [1, 11]
    assert await live(database) in names


async def test_environments_have_catalogs_of_their_own(database: Database) -> None:
    async with database.write() as connection:
        await ensure_environment(connection, "staging", NOON)
    await apply(database, SHOP)
    await apply(database, edited(SHOP, "plans", "pro", "name", to="Staged"), environment="staging")

    assert await live(database) == SHOP
