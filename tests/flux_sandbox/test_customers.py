from __future__ import annotations

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop


def test_a_customer_is_created_changed_and_found_by_email(sandbox: RunningSandbox) -> None:
    customers = sandbox.stripe.v1.customers
    acme = customers.create(
        {"name": "Acme", "email": "a@example.com", "metadata": {"organization_id": "acme"}}
    )
    customers.create({"email": "b@example.com"})

    changed = customers.update(acme.id, {"name": "Acme Inc.", "email": ""})

    assert (changed.name, changed.email) == ("Acme Inc.", None)
    assert changed.metadata is not None
    assert changed.metadata["organization_id"] == "acme"
    assert [one.email for one in customers.list({"email": "b@example.com"}).data] == ["b@example.com"]


def test_a_deleted_customer_is_known_as_deleted_and_its_subscriptions_end(
    sandbox: RunningSandbox, shop: Shop
) -> None:
    subscription = shop.subscribe()

    sandbox.stripe.v1.customers.delete(shop.customer)

    assert sandbox.stripe.v1.customers.retrieve(shop.customer).deleted
    assert sandbox.stripe.v1.customers.list().data == []
    assert sandbox.stripe.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert [event.type for event in sandbox.stripe.v1.events.list({"limit": 2}).data] == [
        "customer.deleted",
        "customer.subscription.deleted",
    ]
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        sandbox.stripe.v1.customers.update(shop.customer, {"name": "Again"})


def test_lists_are_paged_newest_first(sandbox: RunningSandbox) -> None:
    customers = sandbox.stripe.v1.customers
    created = [customers.create({"name": str(number)}).id for number in range(5)]

    found = [one.id for one in customers.list({"limit": 2}).auto_paging_iter()]

    assert found == created[::-1]
    assert [
        one.id for one in customers.list({"limit": 2, "ending_before": created[1]}).auto_paging_iter()
    ] == created[2:]


def test_a_list_can_be_gone_through_while_its_objects_are_deleted(sandbox: RunningSandbox) -> None:
    customers = sandbox.stripe.v1.customers
    for number in range(5):
        customers.create({"name": str(number)})

    for customer in customers.list({"limit": 2}).auto_paging_iter():
        customers.delete(customer.id)

    assert customers.list().data == []


def test_a_customer_can_show_its_live_subscriptions(sandbox: RunningSandbox, shop: Shop) -> None:
    ended, live = shop.subscribe(), shop.subscribe()
    sandbox.stripe.v1.subscriptions.cancel(ended.id)

    found = sandbox.stripe.v1.customers.retrieve(shop.customer, {"expand": ["subscriptions.data.customer"]})

    assert found.subscriptions is not None
    (shown,) = found.subscriptions.data
    assert shown.id == live.id
    assert isinstance(shown.customer, stripe.Customer)
