from __future__ import annotations

from typing import Any

import pytest
from stripe._api_version import _ApiVersion

from flux_sandbox import API_VERSION
from flux_sandbox.versions import VERSIONS, as_of
from tests.flux_sandbox.running import Receiver, RunningSandbox, running_sandbox
from tests.flux_sandbox.shop import Shop

NEWEST, ACACIA, OLD = API_VERSION, "2025-02-24.acacia", "2019-02-19"


def read(sandbox: RunningSandbox, version: str, path: str) -> dict[str, Any]:
    answer = sandbox.http.get(path, headers={"Stripe-Version": version})
    assert answer.headers["Stripe-Version"] == version
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def places_of_the_period(subscription: dict[str, Any]) -> tuple[bool, bool]:
    """Say whether the subscription, and whether its first item, has a period."""
    return "current_period_end" in subscription, "current_period_end" in subscription["items"]["data"][0]


@pytest.mark.parametrize(
    ("version", "places"),
    [
        pytest.param(NEWEST, (False, True), id="endive"),
        pytest.param("2025-03-31.basil", (False, True), id="basil"),
        pytest.param(ACACIA, (True, False), id="acacia"),
        pytest.param(OLD, (True, False), id="2019"),
    ],
)
def test_the_period_is_where_the_version_has_it(
    sandbox: RunningSandbox, shop: Shop, version: str, places: tuple[bool, bool]
) -> None:
    subscription = shop.subscribe()

    alone = read(sandbox, version, f"/v1/subscriptions/{subscription.id}")
    (listed,) = read(sandbox, version, "/v1/subscriptions")["data"]

    assert places_of_the_period(alone) == places_of_the_period(listed) == places


def test_the_period_of_the_subscription_is_the_latest_of_its_items(
    sandbox: RunningSandbox, shop: Shop
) -> None:
    subscription = shop.subscribe(shop.monthly, shop.yearly)

    shown = read(sandbox, ACACIA, f"/v1/subscriptions/{subscription.id}")

    ends = [item.current_period_end for item in subscription.items.data]
    assert shown["current_period_end"] == max(ends) > min(ends)


def test_the_oldest_names_the_plan_of_the_only_item(sandbox: RunningSandbox, shop: Shop) -> None:
    one, two = shop.subscribe(), shop.subscribe(shop.monthly, shop.yearly)

    shown = [read(sandbox, OLD, f"/v1/subscriptions/{each.id}") for each in (one, two)]

    assert [(each["plan"] or {}).get("id") for each in shown] == [shop.monthly, None]
    assert [each["quantity"] for each in shown] == [1, None]
    assert shown[0]["billing"] == "charge_automatically"
    assert shown[0]["start"] == one.start_date


def test_a_price_says_how_usage_is_aggregated_where_it_did(sandbox: RunningSandbox, shop: Shop) -> None:
    shown = [read(sandbox, version, f"/v1/prices/{shop.metered}") for version in (NEWEST, ACACIA)]

    assert ["aggregate_usage" in price["recurring"] for price in shown] == [False, True]


def test_an_invoice_names_its_subscription_where_it_did(sandbox: RunningSandbox, shop: Shop) -> None:
    subscription = shop.subscribe()
    newest, older = (
        read(sandbox, version, f"/v1/invoices/{subscription.latest_invoice}") for version in (NEWEST, ACACIA)
    )

    assert ("subscription" in newest, "parent" in older) == (False, False)
    assert (older["subscription"], older["paid"]) == (subscription.id, True)
    assert newest["parent"]["subscription_details"]["subscription"] == subscription.id


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_test_tells_of_has_every_version(version: str) -> None:
    subscription = {"object": "subscription", "id": "sub_1", "status": "odd"}

    assert as_of(subscription, version).items() >= subscription.items()


@pytest.mark.parametrize("version", [NEWEST, ACACIA, OLD])
def test_a_webhook_comes_in_the_version_of_its_endpoint(
    sandbox: RunningSandbox, shop: Shop, receiver: Receiver, version: Any
) -> None:
    endpoint = sandbox.stripe.v1.webhook_endpoints.create(
        {
            "url": receiver.url,
            "enabled_events": ["customer.subscription.updated"],
            "api_version": version,
        }
    )
    shop.subscribe()
    sandbox.advance(32 * 86_400)

    event = receiver.wait_for(1)[0].event(str(endpoint.secret)).to_dict(for_json=True)

    on_subscription = version != NEWEST
    assert event["api_version"] == version
    assert places_of_the_period(event["data"]["object"]) == (on_subscription, not on_subscription)
    assert ("current_period_end" in event["data"]["previous_attributes"]) == on_subscription


def test_events_keep_the_version_of_the_account() -> None:
    with running_sandbox(api_version=ACACIA) as sandbox:
        Shop(sandbox.stripe).subscribe()
        (event,) = sandbox.stripe.v1.events.list({"type": "customer.subscription.created"}).data

    assert event.api_version == ACACIA
    assert places_of_the_period(event.to_dict(for_json=True)["data"]["object"]) == (True, False)


def test_who_names_no_version_gets_that_of_the_account() -> None:
    with running_sandbox(api_version=ACACIA) as sandbox:
        subscription = Shop(sandbox.stripe).subscribe()
        answer = sandbox.http.get(f"/v1/subscriptions/{subscription.id}")

    assert places_of_the_period(answer.json()) == (True, False)


def test_a_version_that_never_was_is_refused(sandbox: RunningSandbox) -> None:
    answer = sandbox.http.get("/v1/customers", headers={"Stripe-Version": "2025-02-30"})

    assert answer.status_code == 400
    assert [found["code"] for found in sandbox.violations()] == ["invalid_api_version"]


def test_stripes_own_version_is_known() -> None:
    assert _ApiVersion.CURRENT == API_VERSION == VERSIONS[0]
    assert list(VERSIONS) == sorted(VERSIONS, reverse=True)
