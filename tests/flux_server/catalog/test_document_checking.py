from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flux_middleware.snapshot import StatusPolicy
from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_checking import require_applicable
from flux_server.catalog.document_diff import differences
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.document_state import document_of, outcome
from flux_server.catalog.errors import InvalidDocumentError, place
from flux_server.catalog.state import CatalogState
from tests.flux_server.catalog.documents import EMPTY, SHOP, edited, plain
from tests.flux_server.running import NOON


@pytest.fixture
def shop() -> CatalogState:
    return outcome(EMPTY, SHOP, existing="stay", now=NOON)


def complaints(document: CatalogDocument, state: CatalogState) -> dict[str, str]:
    """Return what speaks against applying the document, by place."""
    try:
        require_applicable(document, state)
    except InvalidDocumentError as refused:
        return {place(wrong.at): wrong.detail for wrong in refused.wrong}
    return {}


@pytest.mark.parametrize(
    ("path", "to", "at", "complaint"),
    [
        pytest.param(
            "default_plan", "fre", "default_plan", "no plan 'fre'; write [plans.fre]", id="default-plan"
        ),
        pytest.param("default_plan", "pack", "default_plan", "'pack' is an add-on", id="default-addon"),
        pytest.param(
            "features.sso.kind", "limit", "features.sso.kind", "grant it as boolean", id="kind-of-granted"
        ),
        pytest.param(
            "features.sso.metric", "api-calls", "features.sso", "only a limit can be", id="metered-flag"
        ),
        pytest.param("features.sso.merge", "max", "features.sso.merge", '"any", not', id="merged-flag"),
        pytest.param("features.seats.merge", "any", "features.seats", "merge is one of", id="limit-by-any"),
        pytest.param(
            "features.seats.metric",
            "api-call",
            "features.seats.metric",
            "no metric 'api-call'; write [metrics.api-call], or leave it out here; did you mean 'api-calls'?",
            id="metric",
        ),
        pytest.param("plans.pro.kind", "addon", "plans.pro.kind", "published as 'base'", id="kind"),
        pytest.param("plans.pro.published", False, "plans.pro.published", "cannot be taken back", id="back"),
        pytest.param(
            "plans.pro.prices",
            ["price_pack"],
            "plans.pro.prices.price_pack",
            "a price of plan 'pack' too",
            id="price-of-two-plans",
        ),
        pytest.param("plans.pro.prices", ["p", "p"], "plans.pro.prices.p", "named twice", id="price-twice"),
        pytest.param(
            "plans.pro.prices",
            [{"price": "p", "metric": "hits"}],
            "plans.pro.prices.p",
            "no metric 'hits'",
            id="metric-of-price",
        ),
        pytest.param(
            "plans.pro.entitlements.seat", 1, "plans.pro.entitlements.seat", "did you mean 'seats'", id="name"
        ),
        pytest.param(
            "plans.pro.entitlements.sso", 1, "plans.pro.entitlements.sso", "true or false, not 1", id="number"
        ),
        pytest.param(
            "plans.pro.entitlements.seats", True, "plans.pro.entitlements.seats", "a whole number", id="flag"
        ),
        pytest.param(
            "plans.pro.entitlements.seats",
            {"value": 1, "enforcement": "soft"},
            "plans.pro.entitlements.seats",
            "nothing to enforce",
            id="nothing-to-enforce",
        ),
    ],
)
def test_a_contradiction_is_told_where(
    shop: CatalogState, path: str, to: object, at: str, complaint: str
) -> None:
    found = complaints(edited(SHOP, *path.split("."), to=to), shop)

    assert list(found) == [at]
    assert complaint in found[at]


def test_a_default_plan_must_be_published() -> None:
    draft = edited(SHOP, "plans", "free", "published", to=False)

    assert complaints(draft, EMPTY) == {"default_plan": "'free' is not published; name a published plan"}


def test_everything_that_contradicts_is_named_at_once(shop: CatalogState) -> None:
    data = plain(SHOP) | {"default_plan": "pack", "metrics": {}}
    del data["features"]["seats"]

    assert list(complaints(read_document(data), shop)) == [
        "features.calls.metric",
        "plans.free.entitlements.seats",
        "plans.pack.entitlements.seats",
        "plans.pro.entitlements.seats",
        "plans.pro.prices.price_calls",
        "default_plan",
    ]


@pytest.mark.parametrize(
    ("section", "most", "entry"),
    [("metrics", 1_000, {}), ("features", 10_000, {"kind": "boolean"}), ("plans", 1_000, {})],
)
def test_what_is_archived_takes_room_too(section: str, most: int, entry: dict[str, Any]) -> None:
    full = read_document({section: {f"k{number}": entry for number in range(most)}})
    state = outcome(EMPTY, full, existing="stay", now=NOON)
    another = read_document({section: {"another": entry}})

    assert complaints(full, EMPTY) == {}
    assert complaints(another, EMPTY) == {}
    assert f"at most {most:,}, archived ones included; this would make {most + 1:,}" in str(
        complaints(another, state)
    )


def archived(state: CatalogState, section: str, key: str) -> CatalogState:
    things = getattr(state, section)
    changed: dict[str, Any] = {section: {**things, key: replace(things[key], archived_at=NOON)}}
    return replace(state, **changed)


@pytest.mark.parametrize(("section", "key"), [("features", "sso"), ("metrics", "api-calls")])
def test_what_is_live_may_refer_to_what_was_archived(shop: CatalogState, section: str, key: str) -> None:
    state = archived(shop, section, key)
    document = document_of(state)

    assert key not in getattr(document, section)
    assert complaints(document, state) == {}
    assert differences(state, document) == ()
    assert complaints(document, EMPTY) != {}, "elsewhere it would refer to nothing"


def test_a_new_version_grants_nothing_that_is_archived(shop: CatalogState) -> None:
    state = archived(shop, "features", "sso")
    document = edited(document_of(state), "plans", "pro", "entitlements", "seats", to=6)

    assert "no feature 'sso'" in complaints(document, state)["plans.pro.entitlements.sso"]


def test_a_policy_for_everybody_and_one_for_a_plan_are_applied(shop: CatalogState) -> None:
    document = edited(
        edited(SHOP, "policy", to={"grace": 60}),
        "plans",
        "pro",
        "policy",
        to={"statuses": {"paused": "grant"}},
    )

    after = outcome(shop, document, existing="stay", now=NOON)

    assert after.policy == StatusPolicy(grace=60)
    assert after.plans["pro"].policy == StatusPolicy(statuses={"paused": "grant"})
