from __future__ import annotations

from typing import Any

import pytest

from flux_server.stripe.errors import AnswerError
from flux_server.stripe.shapes import next_look, read_checkout, read_customer, read_meter, read_subscription
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState

CURRENT = {
    "id": "sub_1",
    "object": "subscription",
    "customer": "cus_1",
    "status": "active",
    "start_date": 100,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "items": {
        "data": [
            {
                "id": "si_1",
                "price": {"id": "price_1", "recurring": {"usage_type": "licensed", "meter": None}},
                "quantity": 2,
                "current_period_start": 1000,
                "current_period_end": 2000,
            }
        ]
    },
    "something_new": {"deep": 1},
}
BEFORE_BASIL = CURRENT | {
    "current_period_start": 1000,
    "current_period_end": 2000,
    "items": {
        "data": [
            {"id": "si_1", "price": {"id": "price_1", "recurring": {"usage_type": "licensed"}}, "quantity": 2}
        ]
    },
}
WITH_PLAN = BEFORE_BASIL | {
    "items": {"data": [{"id": "si_1", "plan": {"id": "price_1", "usage_type": "licensed"}, "quantity": 2}]}
}
EXPANDED = CURRENT | {"customer": {"id": "cus_1", "object": "customer"}}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(CURRENT, id="current"),
        pytest.param(BEFORE_BASIL, id="before-2025-03-31"),
        pytest.param(WITH_PLAN, id="plan-in-place-of-price"),
        pytest.param(EXPANDED, id="customer-expanded"),
    ],
)
def test_every_version_of_a_subscription_means_the_same(data: dict[str, Any]) -> None:
    found = read_subscription(data)

    item = ItemState("si_1", "price_1", quantity=2, period_start=1000, period_end=2000)
    assert found.state == SubscriptionState("sub_1", "active", items=(item,), started_at=100)
    assert found.customer == "cus_1"


@pytest.mark.parametrize(
    ("scheduled", "cancel_at"),
    [
        pytest.param({}, None, id="not-scheduled"),
        pytest.param({"cancel_at_period_end": True}, 2000, id="classic"),
        pytest.param({"cancel_at": 1500}, 1500, id="flexible"),
        pytest.param({"cancel_at": 2000, "cancel_at_period_end": True}, 2000, id="both"),
    ],
)
@pytest.mark.parametrize("data", [CURRENT, BEFORE_BASIL], ids=["current", "before-2025-03-31"])
def test_a_scheduled_end_is_one_moment(
    data: dict[str, Any], scheduled: dict[str, Any], cancel_at: int | None
) -> None:
    assert read_subscription(data | scheduled).state.cancel_at == cancel_at


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(
            {"id": "si", "price": {"id": "p", "recurring": {"usage_type": "metered", "meter": "m"}}},
            id="price",
        ),
        pytest.param({"id": "si", "plan": {"id": "p", "usage_type": "metered", "meter": "m"}}, id="plan"),
    ],
)
def test_a_metered_item_has_a_meter_and_no_quantity(item: dict[str, Any]) -> None:
    found = read_subscription(CURRENT | {"items": {"data": [item]}}).state.items

    assert found == (ItemState("si", "p", quantity=1, metered=True, meter="m"),)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="empty"),
        pytest.param(CURRENT | {"id": None}, id="no-id"),
        pytest.param(CURRENT | {"customer": None}, id="no-customer"),
        pytest.param(CURRENT | {"items": {"data": [{"id": "si_1"}]}}, id="item-without-price"),
        pytest.param(CURRENT | {"trial_end": "soon"}, id="time-in-words"),
    ],
)
def test_what_is_no_subscription_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(AnswerError, match="subscription is not of a shape that Flux knows"):
        read_subscription(data)


def test_a_deleted_customer_says_only_that() -> None:
    assert read_customer({"id": "cus_1", "deleted": True}).deleted
    assert read_customer({"id": "cus_1", "metadata": {"a": "b"}}).metadata == {"a": "b"}


def test_a_checkout_session_may_know_nothing_yet() -> None:
    session = read_checkout({"id": "cs_1", "customer": None, "subscription": None})

    assert (session.customer, session.subscription, session.client_reference) == (None, None, None)


def test_a_meter_says_how_its_events_are_written() -> None:
    meter = read_meter(
        {
            "id": "mtr_1",
            "event_name": "calls",
            "customer_mapping": {"event_payload_key": "who"},
            "value_settings": {"event_payload_key": "how_much"},
            "default_aggregation": {"formula": "sum"},
            "event_time_window": "hour",
            "status": "active",
        }
    )

    assert (meter.customer_key, meter.value_key, meter.time_window) == ("who", "how_much", "hour")


ITEM = ItemState("si", "p", period_end=2000)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(SubscriptionState("s", "active", items=(ITEM,)), 2120, id="renewal"),
        pytest.param(SubscriptionState("s", "trialing", items=(ITEM,), trial_end=1500), 1500, id="trial"),
        pytest.param(SubscriptionState("s", "active", items=(ITEM,), cancel_at=1800), 1800, id="end"),
        pytest.param(SubscriptionState("s", "canceled", items=(ITEM,), ended_at=900), None, id="over"),
        pytest.param(
            SubscriptionState("s", "active", items=(ItemState("si", "p", period_end=10),)), 4600, id="overdue"
        ),
        pytest.param(
            SubscriptionState("s", "paused", items=(ItemState("si", "p", period_end=10),)), None, id="paused"
        ),
    ],
)
def test_a_subscription_is_looked_at_when_time_changes_it(
    state: SubscriptionState, expected: int | None
) -> None:
    assert next_look(state, 1000) == expected
