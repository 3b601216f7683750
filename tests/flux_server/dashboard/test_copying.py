from __future__ import annotations

import pytest

from flux_middleware.snapshot import Feature
from flux_server.catalog.document_changes import Change, FieldChange
from flux_server.catalog.features import save_feature
from flux_server.catalog.reading import Plan, PlanPrice, read_catalog, read_plan
from flux_server.dashboard.document_words import told_changes
from flux_server.environments.history import read_history
from tests.flux_server.dashboard.browsing import Element, Page, Person
from tests.flux_server.dashboard.conftest import ADA
from tests.flux_server.dashboard.world import furnish
from tests.flux_server.running import NOON, RunningServer

COPY = "/test/copy-catalog"
PRICES = {"price__price_pro": "price_live_pro", "price__price_calls": "price_live_calls"}


def live(server: RunningServer) -> Plan:
    return server.read(lambda connection: read_plan(connection, "live", "pro"))


def compare(ada: Person, **typed: str) -> Page:
    return ada.send(ada.open(COPY), COPY, **(PRICES | typed))


def changes(page: Page) -> list[str]:
    (shown,) = page.root.all("ol", **{"class": "events"})
    return [change.text for change in shown.children if isinstance(change, Element)]


def test_what_copying_changes_is_shown_before_it_is_done(server: RunningServer, ada: Person) -> None:
    furnish(server)

    page = compare(ada)

    assert page.heading == "What copying changes in live"
    shown = changes(page)
    assert any(each.startswith("Metric calls new") for each in shown)
    assert any(each.startswith("Plan pro new") and "prices, price_live_pro" in each for each in shown)
    assert any(each.startswith("Plan free version 1 is published") for each in shown)
    assert any(each.startswith("Default plan changed") for each in shown)
    assert server.read(lambda connection: read_catalog(connection, "live")).plan_versions == ()


def test_the_catalog_is_copied_with_the_prices_of_the_other_environment(
    server: RunningServer, ada: Person
) -> None:
    furnish(server)

    page = ada.send(compare(ada), f"{COPY}/do")

    assert (page.path, page.said) == ("/live/plans", "The catalog of test is copied.")
    assert live(server).prices == (PlanPrice("price_live_calls", "calls"), PlanPrice("price_live_pro"))
    here = server.read(lambda connection: read_catalog(connection, "test"))
    there = server.read(lambda connection: read_catalog(connection, "live"))
    assert there == here
    (last, *_) = server.read(lambda connection: read_history(connection, "live", kinds=("plan",), limit=1))
    assert last.actor == ADA


def test_copying_again_finds_the_prices_and_changes_nothing(server: RunningServer, ada: Person) -> None:
    furnish(server)
    ada.send(compare(ada), f"{COPY}/do")

    page = ada.open(COPY)
    fields = dict(page.fields(COPY))
    assert fields["price:price_calls"] == "price_live_calls"
    assert fields["price:price_pro"] == "price_live_pro"
    page = ada.send(page, COPY)

    assert "Nothing: the catalog of live is this one already." in page.text


@pytest.mark.parametrize(
    ("typed", "field", "complaint"),
    [
        pytest.param({"price__price_pro": ""}, "price:price_pro", "give the price there", id="empty"),
        pytest.param(
            {"price__price_pro": "price_live_calls"}, "price:price_pro", "is given twice", id="twice"
        ),
    ],
)
def test_prices_that_cannot_be_are_refused(
    server: RunningServer, ada: Person, typed: dict[str, str], field: str, complaint: str
) -> None:
    furnish(server)

    page = compare(ada, **typed)

    assert page.status == 422
    assert complaint in page.errors[field]
    assert dict(page.fields(COPY))["price:price_calls"] == "price_live_calls"


@pytest.mark.parametrize("environment", ["test", "live"])
def test_nothing_is_copied_but_what_was_compared(
    server: RunningServer, ada: Person, environment: str
) -> None:
    furnish(server)
    page = compare(ada)
    feature = Feature("new", "boolean")
    server.write(lambda connection: save_feature(connection, environment, feature, NOON))

    page = ada.send(page, f"{COPY}/do")

    assert page.status == 412
    assert any("Feature new" in each for each in changes(page))
    assert server.read(lambda connection: read_catalog(connection, "live")).plan_versions == ()
    assert ada.send(page, f"{COPY}/do").path == "/live/plans"


def test_there_is_no_copying_into_itself(server: RunningServer, ada: Person) -> None:
    assert ada.open(f"{COPY}?to=test").status == 404
    assert ada.open(f"{COPY}?to=nowhere").status == 404


def test_changes_are_told_with_whom_they_reach() -> None:
    fields = (
        FieldChange(("entitlements", "seats"), None, {"value": 5, "per_unit": True}),
        FieldChange(("prices", "price_1"), "price_1", {"price": "price_1", "metric": "calls"}),
        FieldChange(("pause_collection",), "grant", "until_period_end"),
        FieldChange(("grace",), 604_800, 0),
    )

    (told,) = told_changes((Change("publish", "plan", "pro", fields, 2, 1, True, True),))

    assert (told.title, told.key, told.action) == ("Plan", "pro", "version 2 is published")
    assert told.notes == (
        "1 organization subscribes to it.",
        "Organizations without a base plan have it at once.",
        "Its draft there is lost.",
    )
    assert [(field.name, field.before, field.after) for field in told.fields] == [
        ("entitlements, seats", "", "value 5, per unit yes"),
        ("prices, price_1", "price_1", "metric calls"),
        ("pause collection", "grant", "until_period_end"),
        ("grace", "7 days", "0"),
    ]
