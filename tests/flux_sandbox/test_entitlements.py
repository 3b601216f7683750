from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_payments import DAY

SUMMARY = "entitlements.active_entitlement_summary.updated"


def sell(sandbox: RunningSandbox, shop: Shop, *keys: str) -> list[str]:
    """Attach features to the shop's product."""
    features = [
        sandbox.stripe.v1.entitlements.features.create({"lookup_key": key, "name": key.upper()}).id
        for key in keys
    ]
    for feature in features:
        sandbox.stripe.v1.products.features.create(shop.product, {"entitlement_feature": feature})
    return features


def held(sandbox: RunningSandbox, shop: Shop) -> set[str]:
    page = sandbox.stripe.v1.entitlements.active_entitlements.list({"customer": shop.customer, "limit": 10})
    return {one.lookup_key for one in page.auto_paging_iter()}


def test_a_subscriber_is_entitled_to_the_products_features(sandbox: RunningSandbox, shop: Shop) -> None:
    sell(sandbox, shop, "sso", "audit-logs")

    subscription = shop.subscribe()
    during = held(sandbox, shop)
    sandbox.stripe.v1.subscriptions.cancel(subscription.id)

    assert during == {"sso", "audit-logs"}
    assert held(sandbox, shop) == set()
    assert len(sandbox.stripe.v1.events.list({"type": SUMMARY}).data) == 2


def test_the_event_tells_ten_and_the_list_all(sandbox: RunningSandbox, shop: Shop) -> None:
    keys = {f"feature-{number}" for number in range(25)}
    sell(sandbox, shop, *keys)

    shop.subscribe()

    (event,) = sandbox.stripe.v1.events.list({"type": SUMMARY}).data
    assert event.data.object["customer"] == shop.customer
    assert len(event.data.object["entitlements"]["data"]) == 10
    assert event.data.object["entitlements"]["has_more"] is True
    assert held(sandbox, shop) == keys


def test_a_change_of_the_product_comes_with_the_next_period(sandbox: RunningSandbox, shop: Shop) -> None:
    shop.subscribe()
    sell(sandbox, shop, "sso")
    before = held(sandbox, shop)

    sandbox.advance(32 * DAY)

    assert (before, held(sandbox, shop)) == (set(), {"sso"})


def test_two_subscriptions_share_an_entitlement(sandbox: RunningSandbox, shop: Shop) -> None:
    sell(sandbox, shop, "sso")
    one, _ = shop.subscribe(), shop.subscribe()

    sandbox.stripe.v1.subscriptions.cancel(one.id)

    (entitlement,) = sandbox.stripe.v1.entitlements.active_entitlements.list(
        {"customer": shop.customer, "expand": ["data.feature"]}
    ).data
    assert isinstance(entitlement.feature, stripe.entitlements.Feature)
    assert entitlement.feature.name == "SSO"
    assert sandbox.stripe.v1.entitlements.active_entitlements.retrieve(entitlement.id).lookup_key == "sso"


def test_features_are_detached(sandbox: RunningSandbox, shop: Shop) -> None:
    features = sandbox.stripe.v1.products.features
    sell(sandbox, shop, "sso")
    (attached,) = features.list(shop.product).data

    deleted = features.delete(shop.product, attached.id)

    assert attached.entitlement_feature.lookup_key == "sso"
    assert deleted.deleted
    assert features.list(shop.product).data == []


def test_an_archived_feature_frees_its_key_and_stays_archived(sandbox: RunningSandbox, shop: Shop) -> None:
    features = sandbox.stripe.v1.entitlements.features
    (first,) = sell(sandbox, shop, "sso")
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        features.create({"lookup_key": "sso", "name": "Again"})

    features.update(first, {"active": False, "name": "Old"})
    second = features.create({"lookup_key": "sso", "name": "New"}).id

    assert [one.id for one in features.list({"lookup_key": "sso"}).data] == [second]
    assert [one.id for one in features.list({"archived": True}).data] == [first]
    with pytest.raises(stripe.InvalidRequestError, match="unarchived"):
        features.update(first, {"active": True})


def test_a_feature_is_attached_once(sandbox: RunningSandbox, shop: Shop) -> None:
    (feature,) = sell(sandbox, shop, "sso")

    with pytest.raises(stripe.InvalidRequestError, match="attached to this product already"):
        sandbox.stripe.v1.products.features.create(shop.product, {"entitlement_feature": feature})
