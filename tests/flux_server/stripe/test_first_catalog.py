from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from flux_server.catalog.document import CatalogDocument, FeatureEntry, PlanEntry, PriceEntry
from flux_server.catalog.document_changes import Proposal
from flux_server.catalog.document_checking import require_applicable
from flux_server.catalog.state import CatalogState
from flux_server.organizations.catalog_documents import apply_document, compare_document
from flux_server.stripe.catalog_proposals import propose_from_stripe
from flux_server.stripe.first_catalog import SoldInStripe, propose_catalog
from flux_server.stripe.link_forms import LinkRefusedError
from flux_server.stripe.price_shapes import StripeFeature, StripePrice, StripeProduct
from flux_server.stripe.shapes import StripeMeter
from tests.flux_server.running import NOON
from tests.flux_server.stripe.conftest import World

METER = StripeMeter("mtr_1", "api_calls", "customer", "value", "sum", None, active=True)
SOLD = SoldInStripe(
    products=(
        StripeProduct("prod_1", "Pro", "For teams"),
        StripeProduct("prod_2", "Pro"),
        StripeProduct("prod_3", "Extra seats", metadata={"flux_kind": "addon"}),
    ),
    prices=(
        StripePrice("price_1", "prod_1", "49.00 EUR / month"),
        StripePrice("price_2", "prod_1", "0.01 EUR / month", metered=True, meter="mtr_1"),
        StripePrice("price_3", "prod_2", "490.00 EUR / year"),
        StripePrice("price_4", "prod_3", "5.00 EUR / month"),
    ),
    features=(StripeFeature("feat_1", "SSO", "Single sign-on"),),
    features_of={"prod_1": ("SSO",)},
    meters=(METER,),
)
EMPTY = CatalogDocument()


def propose(sold: SoldInStripe = SOLD, base: CatalogDocument = EMPTY, **options: Any) -> Proposal:
    return propose_catalog(sold, base, options.get("known", EMPTY), options.get("in_use", ()))


def left_out(proposal: Proposal) -> dict[str, str]:
    return {each.object: each.reason for each in proposal.left_out}


def test_products_become_drafts_with_their_prices_and_features() -> None:
    document = propose().document

    assert document.plans["pro"] == PlanEntry(
        name="Pro",
        description="For teams",
        prices=("price_1", PriceEntry("price_2", "api-calls")),
        published=False,
        entitlements={"sso": True},
    )
    assert document.plans.keys() == {"pro", "pro-2", "extra-seats"}
    assert document.plans["extra-seats"].kind == "addon"


def test_what_is_proposed_fits_the_catalogs_rules() -> None:
    nothing = CatalogState({}, {}, {}, None, None)  # type: ignore[arg-type]  # its policy does not matter

    proposal = propose()
    require_applicable(proposal.document, nothing)

    assert proposal.left_out == ()


def test_the_same_proposal_made_again_adds_nothing() -> None:
    once = propose().document

    assert propose(base=once, known=once).document == once


def test_what_somebody_wrote_in_the_file_stays() -> None:
    own = CatalogDocument(plans={"team": PlanEntry(prices=("product:prod_1",))})

    document = propose(base=own).document

    assert document.plans["team"] == own.plans["team"]
    assert document.plans.keys() == {"team", "pro", "extra-seats"}


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        pytest.param({"recurring": False}, "paid once", id="once"),
        pytest.param({"metered": True}, "taken without a metric", id="metered-without-a-meter"),
        pytest.param({"metered": True, "meter": "mtr_9"}, "taken without a metric", id="unknown-meter"),
    ],
)
def test_a_price_that_does_not_fit_is_said_with_the_reason(price: dict[str, Any], reason: str) -> None:
    odd = dataclasses.replace(StripePrice("price_9", "prod_1", "9"), **price)

    assert reason in left_out(propose(dataclasses.replace(SOLD, prices=(*SOLD.prices, odd))))["price_9"]


@pytest.mark.parametrize("in_use", [True, False], ids=["somebody-pays-it", "nobody-does"])
def test_a_price_that_is_not_sold_any_more_is_taken_while_somebody_pays_it(in_use: bool) -> None:
    old = StripePrice("price_0", "prod_1", "39.00 EUR / month", active=False)
    sold = dataclasses.replace(SOLD, prices=(*SOLD.prices, old))

    document = propose(sold, in_use={"price_0"} if in_use else ()).document

    assert ("price_0" in document.plans["pro"].prices) == in_use


@pytest.mark.parametrize(
    ("meter", "reason"),
    [
        pytest.param({"formula": "last"}, "takes the last", id="last"),
        pytest.param({"time_window": "hour"}, "last value of each hour", id="pre-aggregated"),
    ],
)
def test_a_meter_that_does_not_add_up_is_no_metric(meter: dict[str, Any], reason: str) -> None:
    proposal = propose(dataclasses.replace(SOLD, meters=(dataclasses.replace(METER, **meter),)))

    assert reason in left_out(proposal)["mtr_1"]
    assert "price_2" in proposal.document.plans["pro"].prices


def test_a_lookup_key_that_is_a_limit_here_is_left_out() -> None:
    proposal = propose(base=CatalogDocument(features={"sso": FeatureEntry("limit")}))

    assert "is a limit here" in left_out(proposal)["feat_1"]
    assert proposal.document.plans["pro"].entitlements == {}


def test_what_was_archived_stays_archived() -> None:
    known = propose().document

    proposal = propose(base=EMPTY, known=known)

    assert proposal.document.plans == {}
    assert "is archived" in left_out(proposal)["prod_1"]


def test_a_new_price_of_a_plan_is_for_somebody_to_add() -> None:
    base = propose().document
    new = StripePrice("price_9", "prod_1", "99.00 EUR / month")

    proposal = propose(dataclasses.replace(SOLD, prices=(*SOLD.prices, new)), base)

    assert proposal.document == base
    assert "plan 'pro' sells this product already" in left_out(proposal)["price_9"]


def put_on_sale(world: World) -> None:
    """Have the account sell a product with a feature."""
    recurring = {"interval": "month", "usage_type": "licensed"}
    price = {
        "id": "price_9",
        "product": "prod_9",
        "currency": "eur",
        "unit_amount": 900,
        "recurring": recurring,
    }
    feature = {"id": "feat_1", "lookup_key": "sso", "name": "SSO"}
    attached = {"id": "prodft_1", "entitlement_feature": feature}
    world.stripe.lists |= {
        "/v1/products": [{"id": "prod_9", "name": "Team", "active": True}],
        "/v1/prices": [price | {"active": True}],
        "/v1/entitlements/features": [feature],
        "/v1/products/prod_9/features": [attached],
        "/v1/billing/meters": [],
    }


async def test_an_account_is_proposed_as_drafts_that_can_be_applied_and_then_no_more(world: World) -> None:
    put_on_sale(world)

    proposal = await propose_from_stripe(world.connector, "test", None)
    async with world.database.write() as connection:
        difference = await compare_document(connection, "test", proposal.document)
        await apply_document(connection, "test", proposal.document, existing="stay", now=NOON)
    again = await propose_from_stripe(world.connector, "test", None)

    assert [(change.action, change.key) for change in difference.changes] == [("add", "team")]
    assert again.document == proposal.document
    assert not proposal.document.plans["team"].published


async def test_features_that_the_key_may_not_read_are_left_out_with_the_reason(world: World) -> None:
    put_on_sale(world)
    refusal = {"error": {"message": "Having the 'rak_entitlement_read' permission would allow this"}}
    world.stripe.fail("/v1/entitlements/features", (403, refusal))

    proposal = await propose_from_stripe(world.connector, "test", None)

    assert "rak_entitlement_read" in left_out(proposal)["features"]
    assert "team" in proposal.document.plans


async def test_a_key_that_may_not_read_products_is_said(world: World) -> None:
    world.stripe.fail("/v1/products", (403, {"error": {"message": "no"}}))

    with pytest.raises(LinkRefusedError, match="link with another key"):
        await propose_from_stripe(world.connector, "test", None)
