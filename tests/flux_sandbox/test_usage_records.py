from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop

ACACIA = "2025-02-24.acacia"


class Legacy:
    """An item whose usage is reported without a meter."""

    def __init__(self, sandbox: RunningSandbox, shop: Shop) -> None:
        self._client = sandbox.stripe
        price = self.ask(
            "post",
            "/v1/prices",
            product=shop.product,
            currency="eur",
            unit_amount=1,
            recurring={"interval": "month", "usage_type": "metered"},
        )
        self.price = price["id"]
        self.subscription = shop.subscribe(self.price)
        self.item = self.subscription.items.data[0].id

    def ask(self, method: str, path: str, *, version: str = ACACIA, **params: Any) -> dict[str, Any]:
        answer = self._client.raw_request(method, path, stripe_version=version, **params)
        found: dict[str, Any] = answer.data
        return found

    def record(self, quantity: int, item: str | None = None, **params: Any) -> dict[str, Any]:
        path = f"/v1/subscription_items/{item or self.item}/usage_records"
        return self.ask("post", path, quantity=quantity, **params)

    def totals(self) -> list[int]:
        """Return the usage of each period, the current one first."""
        path = f"/v1/subscription_items/{self.item}/usage_record_summaries"
        return [summary["total_usage"] for summary in self.ask("get", path)["data"]]


@pytest.fixture
def legacy(sandbox: RunningSandbox, shop: Shop) -> Legacy:
    return Legacy(sandbox, shop)


@pytest.mark.parametrize(("action", "total"), [("set", 9), ("increment", 16)])
def test_a_record_replaces_or_adds_to_the_one_of_its_moment(
    sandbox: RunningSandbox, legacy: Legacy, action: str, total: int
) -> None:
    moment = sandbox.now()

    for quantity in (7, 9):
        legacy.record(quantity, timestamp=moment, action=action)

    assert legacy.totals() == [total]
    assert sandbox.violations() == []


def test_each_period_has_its_own_total_and_is_billed(sandbox: RunningSandbox, legacy: Legacy) -> None:
    legacy.record(7)
    sandbox.advance(31 * 86_400)
    legacy.record(2)

    assert legacy.totals() == [2, 7]
    assert sandbox.stripe.v1.invoices.list().data[0].lines.data[0].quantity == 7


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        pytest.param(-60, "must be after the subscription's last invoice period", id="before-the-period"),
        pytest.param(3_600, "in the future", id="future"),
    ],
)
def test_a_record_of_another_time_is_refused(
    sandbox: RunningSandbox, legacy: Legacy, moved: int, message: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message):
        legacy.record(1, timestamp=legacy.subscription.start_date + moved)


def test_items_with_a_meter_or_without_metering_take_none(legacy: Legacy, shop: Shop) -> None:
    metered, licensed = (shop.subscribe(price).items.data[0].id for price in (shop.metered, shop.monthly))

    with pytest.raises(stripe.InvalidRequestError, match="not on the legacy metered billing system"):
        legacy.record(1, item=metered)
    with pytest.raises(stripe.InvalidRequestError, match="only be created for metered plans"):
        legacy.record(1, item=licensed)


def test_newer_versions_have_neither_the_path_nor_the_price(
    sandbox: RunningSandbox, legacy: Legacy, shop: Shop
) -> None:
    newest = "2026-10-28.endive"
    recurring = {"interval": "month", "usage_type": "metered"}
    price = {"product": shop.product, "currency": "eur", "unit_amount": 1, "recurring": recurring}

    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        legacy.record(1, version=newest)
    with pytest.raises(stripe.InvalidRequestError, match="must be backed by a meter"):
        legacy.ask("post", "/v1/prices", version=newest, **price)


def test_the_older_version_says_how_usage_adds_up(legacy: Legacy) -> None:
    price = legacy.ask("get", f"/v1/prices/{legacy.price}")

    assert price["recurring"]["aggregate_usage"] == "sum"
