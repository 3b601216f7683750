"""`flux plans import-stripe`: a process, a server and a Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_server.cli.catalog_file import parse_catalog
from flux_server.settings import Settings
from tests.flux_server.cli.desk import Desk, live
from tests.flux_server.running import run_server
from tests.flux_server.stripe.double import StripeDouble, run_double

PRICE = {
    "id": "price_9",
    "product": "prod_9",
    "currency": "eur",
    "unit_amount": 900,
    "active": True,
    "recurring": {"interval": "month", "usage_type": "licensed"},
}
FEATURE = {"id": "feat_1", "lookup_key": "sso", "name": "SSO", "active": True}


@pytest.fixture
def stripe() -> Iterator[StripeDouble]:
    """An account that sells the product Team, with the feature sso, by a monthly price and once."""
    with run_double() as double:
        double.lists |= {
            "/v1/products": [{"id": "prod_9", "name": "Team", "active": True}],
            "/v1/prices": [PRICE, PRICE | {"id": "price_once", "recurring": None}],
            "/v1/entitlements/features": [FEATURE],
            "/v1/products/prod_9/features": [{"id": "prodft_1", "entitlement_feature": FEATURE}],
            "/v1/billing/meters": [],
        }
        yield double


@pytest.fixture
def desk(settings: Settings, stripe: StripeDouble, tmp_path: Path) -> Iterator[Desk]:
    """A desk at a server that is linked to the account."""
    with run_server(settings.model_copy(update={"stripe_api_base": stripe.url})) as server:
        with server.client("admin") as admin:
            admin.put("/v1/stripe/link", json={"api_key": "rk_test_sandbox"}).raise_for_status()
        yield Desk(server, tmp_path, {"FLUX_URL": server.url, "FLUX_API_KEY": server.make_key()})


def test_what_is_sold_is_added_to_the_file_once_and_applied_as_drafts(desk: Desk) -> None:
    desk.file.write_text('# Ours\n[plans.free] # for everybody\nprices = ["price_free"]\n')

    first = desk.run("import-stripe", "--into", "plans.toml")
    imported = desk.file.read_text()
    second = desk.run("import-stripe", "--into", "plans.toml")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "price_once 9.00 EUR: it is paid once" in first.stderr
    assert desk.file.read_text() == imported
    assert "[plans.free] # for everybody" in imported
    assert desk.run("apply", "plans.toml", "--yes").returncode == 0
    assert not live(desk).plans["team"].published


def test_without_a_file_it_is_printed(desk: Desk) -> None:
    printed = desk.run("import-stripe")

    assert printed.returncode == 0
    assert parse_catalog(printed.stdout, desk.file).plans["team"].entitlements == {"sso": True}
