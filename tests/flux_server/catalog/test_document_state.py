"""Applying documents to states, without a database: what comes of it is what the document and the diff say."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flux_middleware.snapshot import Grant
from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.catalog.document_checking import require_applicable
from flux_server.catalog.document_diff import differences
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.document_state import document_of, outcome, state_etag
from flux_server.catalog.errors import InvalidDocumentError
from flux_server.catalog.state import CatalogState
from flux_server.catalog.values import Existing
from tests.flux_server.catalog.documents import EMPTY, SHOP, carried_out, documents, edited, said
from tests.flux_server.running import NOON

LATER = NOON + 60
EXISTING = st.sampled_from(get_args(Existing))


def applied(
    document: CatalogDocument, state: CatalogState = EMPTY, existing: Existing = "stay", now: float = NOON
) -> CatalogState:
    """Return what applying the document makes of the state."""
    require_applicable(document, state)
    return outcome(state, document, existing=existing, now=now)


def applied_or_assumed_away(
    document: CatalogDocument, state: CatalogState, existing: Existing = "stay", now: float = NOON
) -> CatalogState:
    """Kinds of what is published never change, and nothing is unpublished; other random documents are applied."""
    try:
        return applied(document, state, existing, now)
    except InvalidDocumentError as error:
        assume({wrong.at[-1] for wrong in error.wrong} - {"kind", "published"})
        raise


@pytest.fixture
def shop() -> CatalogState:
    return applied(SHOP)


@st.composite
def states(draw: st.DrawFn) -> CatalogState:
    """Any state that applying one document after another can lead to."""
    state = EMPTY
    for document in draw(st.lists(documents(), max_size=3)):
        try:
            state = applied(document, state, draw(EXISTING))
        except InvalidDocumentError:
            continue  # kinds of what is published never change
    return state


@given(states(), documents(), EXISTING)
def test_what_is_live_afterwards_is_the_document(
    state: CatalogState, document: CatalogDocument, existing: Existing
) -> None:
    after = applied_or_assumed_away(document, state, existing, LATER)

    assert document_json(document_of(after)) == document_json(document)
    assert differences(after, document) == ()
    assert applied(document, after, existing, LATER) == after


@given(states(), documents())
def test_applying_does_what_the_diff_said(state: CatalogState, document: CatalogDocument) -> None:
    after = applied_or_assumed_away(document, state)

    changes = differences(state, document)

    assert document_json(carried_out(state, changes)) == document_json(document)
    assert bool(changes) == (after != state)


@given(states())
def test_what_was_read_changes_nothing(state: CatalogState) -> None:
    document = document_of(state)

    assert differences(state, document) == ()
    assert applied(document, state, now=LATER) == state


def test_the_first_document_adds_and_publishes(shop: CatalogState) -> None:
    changes = differences(EMPTY, SHOP)

    assert said(changes) == [
        "add metric api-calls",
        "add feature calls",
        "add feature seats",
        "add feature sso",
        "add plan free",
        "publish plan free",
        "add plan pack",
        "publish plan pack",
        "add plan pro",
        "publish plan pro",
        "change default_plan",
    ]
    assert [change.version for change in changes if change.action == "publish"] == [1, 1, 1]
    assert [change.is_default for change in changes if change.action == "publish"] == [True, False, False]
    assert shop.plans["free"].versions[0].grants == (Grant("seats", 1),)


def test_other_entitlements_are_a_new_version_and_a_new_name_is_not(shop: CatalogState) -> None:
    more = edited(SHOP, "plans", "free", "entitlements", "seats", to=2)
    renamed = edited(SHOP, "plans", "free", "name", to="Free")

    (published,) = differences(shop, more)
    (changed,) = differences(shop, renamed)

    assert (published.action, published.version) == ("publish", 2)
    assert [(field.at, field.before, field.after) for field in published.fields] == [
        (("entitlements", "seats"), 1, 2)
    ]
    assert changed.action == "change"
    assert [(field.at, field.before, field.after) for field in changed.fields] == [(("name",), "", "Free")]
    assert len(applied(renamed, shop).plans["free"].versions) == 1


@pytest.mark.parametrize(("existing", "replaced_by"), [("stay", None), ("migrate", 2)])
def test_subscribers_stay_or_migrate(shop: CatalogState, existing: Existing, replaced_by: int | None) -> None:
    after = applied(edited(SHOP, "plans", "free", "entitlements", "seats", to=2), shop, existing)

    first, second = after.plans["free"].versions
    assert (first.replaced_by, second.replaced_by) == (replaced_by, None)


def test_prices_are_exchanged(shop: CatalogState) -> None:
    crossed = edited(
        edited(SHOP, "plans", "pro", "prices", to=["price_pack"]),
        "plans",
        "pack",
        "prices",
        to=["price_month"],
    )

    after = applied(crossed, shop)

    assert said(differences(shop, crossed)) == ["change plan pack", "change plan pro"]
    prices = {key: [price.price for price in plan.prices] for key, plan in after.plans.items()}
    assert prices == {"free": [], "pro": ["price_pack"], "pack": ["price_month"]}


def test_a_price_leaves_a_plan_that_is_not_named_any_more(shop: CatalogState) -> None:
    merged = edited(edited(SHOP, "plans", "pack"), "plans", "pro", "prices", to=["price_month", "price_pack"])

    after = applied(merged, shop)

    assert said(differences(shop, merged)) == ["change plan pack", "archive plan pack", "change plan pro"]
    assert (after.plans["pack"].prices, after.plans["pack"].archived_at) == ((), NOON)


def test_what_is_not_named_is_archived_and_restored_when_it_is_named_again(shop: CatalogState) -> None:
    without = edited(SHOP, "plans", "pro")
    gone = applied(without, shop, now=LATER)

    assert said(differences(shop, without)) == ["archive plan pro"]
    assert gone.plans["pro"].archived_at == LATER
    assert gone.plans["pro"].prices == shop.plans["pro"].prices, "who still buys it keeps getting it"
    assert said(differences(gone, SHOP)) == ["restore plan pro"]
    assert applied(SHOP, gone) == shop


def test_an_unpublished_plan_stays_a_draft_until_it_is_published(shop: CatalogState) -> None:
    draft = edited(SHOP, "plans", "team", to={"published": False, "entitlements": {"seats": 3}})
    published = edited(draft, "plans", "team", "published")

    drafted = applied(draft, shop)

    assert said(differences(shop, draft)) == ["add plan team"]
    assert drafted.plans["team"].versions == ()
    assert drafted.plans["team"].draft == (Grant("seats", 3),)
    assert said(differences(drafted, published)) == ["publish plan team"]
    assert applied(published, drafted).plans["team"].draft is None


def test_a_draft_in_waiting_is_kept_or_said_to_be_replaced(shop: CatalogState) -> None:
    pro = replace(shop.plans["pro"], draft=(Grant("seats", 7),))
    state = replace(shop, plans={**shop.plans, "pro": pro})
    renamed = edited(SHOP, "plans", "pro", "name", to="Professional")
    published = edited(SHOP, "plans", "pro", "entitlements", "seats", to=9)

    assert applied(renamed, state).plans["pro"].draft == pro.draft
    assert state_etag(state) != state_etag(shop), "who saw no draft does not replace one unknowingly"
    (change,) = differences(state, published)
    assert change.replaces_draft
    assert applied(published, state).plans["pro"].draft is None


def test_true_of_a_capability_is_not_1_of_a_limit() -> None:
    flag = {"kind": "boolean"}, {"published": False, "entitlements": {"beta": True}}
    number = {"kind": "limit"}, {"published": False, "entitlements": {"beta": 1}}
    as_flag, as_number = (
        read_document({"features": {"beta": feature}, "plans": {"team": plan}})
        for feature, plan in (flag, number)
    )

    state = applied(as_number, applied(as_flag))

    assert document_json(document_of(state)) == document_json(as_number)
    assert said(differences(applied(as_flag), as_number)) == ["change feature beta", "change plan team"]


def test_fields_that_are_left_out_are_shown_as_what_they_mean(shop: CatalogState) -> None:
    (change,) = differences(shop, edited(SHOP, "features", "seats", "merge"))

    assert [(field.at, field.before, field.after) for field in change.fields] == [
        (("merge",), "sum", "base_plus_addons")
    ]
