from __future__ import annotations

from typing import Any

import pytest

from flux_middleware.snapshot import PauseCollection
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


# Subscriptions as API versions write them: one item of a price with a lookup key, in the middle of March 2026.
PERIOD: dict[str, Any] = {"current_period_start": 1_772_323_200, "current_period_end": 1_775_001_600}
SOLD = {
    "id": "price_1Pro",
    "object": "price",
    "active": True,
    "billing_scheme": "per_unit",
    "currency": "eur",
    "lookup_key": "pro_monthly",
    "metadata": {},
    "nickname": None,
    "product": "prod_Pro",
    "recurring": {
        "interval": "month",
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    },
    "tiers_mode": None,
    "type": "recurring",
    "unit_amount": 4900,
    "unit_amount_decimal": "4900",
}
LINE: dict[str, Any] = {
    "id": "si_1",
    "object": "subscription_item",
    "billing_thresholds": None,
    "created": 1_772_323_200,
    "discounts": [],
    "metadata": {},
    "price": SOLD,
    "quantity": 3,
    "subscription": "sub_1",
    "tax_rates": [],
}
ENDIVE: dict[str, Any] = {
    "id": "sub_1",
    "object": "subscription",
    "billing_mode": {"type": "flexible", "updated_at": None},
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "collection_method": "charge_automatically",
    "created": 1_772_323_200,
    "currency": "eur",
    "customer": "cus_1",
    "customer_account": None,
    "discounts": [],
    "ended_at": None,
    "items": {"object": "list", "data": [LINE | PERIOD], "has_more": False, "url": "/v1/subscription_items"},
    "latest_invoice": "in_1",
    "livemode": False,
    "metadata": {},
    "next_pending_invoice_item_invoice": None,
    "pause_collection": None,
    "pending_update": None,
    "schedule": None,
    "start_date": 1_772_323_200,
    "status": "active",
    "trial_end": None,
    "trial_start": None,
}
_OLD = {name: value for name, value in ENDIVE.items() if name not in ("billing_mode", "customer_account")}
ACACIA: dict[str, Any] = _OLD | PERIOD | {"discount": None, "items": ENDIVE["items"] | {"data": [LINE]}}
PLAN = {
    "id": "price_1Pro",
    "object": "plan",
    "amount": 4900,
    "interval": "month",
    "product": "prod_Pro",
    "usage_type": "licensed",
}
WITHOUT_PRICES = ACACIA | {
    "plan": PLAN,
    "quantity": 3,
    "billing": "charge_automatically",
    "start": 1_772_323_200,
    "items": {
        "object": "list",
        "data": [{"id": "si_1", "object": "subscription_item", "plan": PLAN, "quantity": 3}],
        "has_more": False,
        "total_count": 1,
    },
}
del WITHOUT_PRICES["start_date"]  # before API version 2019-10-17; `created` says the same


@pytest.mark.parametrize(
    ("data", "lookup_key"),
    [
        pytest.param(ENDIVE, "pro_monthly", id="2026-10-28.endive"),
        pytest.param(ACACIA, "pro_monthly", id="2025-02-24.acacia"),
        pytest.param(WITHOUT_PRICES, None, id="2019-02-19"),
    ],
)
def test_a_subscription_in_full_means_the_same_in_every_version(
    data: dict[str, Any], lookup_key: str | None
) -> None:
    item = ItemState(
        "si_1",
        "price_1Pro",
        quantity=3,
        period_start=1_772_323_200,
        period_end=1_775_001_600,
        lookup_key=lookup_key,
        product="prod_Pro",
    )

    assert read_subscription(data).state == SubscriptionState(
        "sub_1", "active", items=(item,), started_at=1_772_323_200
    )


def items(*lines: dict[str, Any]) -> dict[str, Any]:
    return {"items": {"object": "list", "data": list(lines), "has_more": False}}


YEARLY = LINE | {"id": "si_2", "current_period_start": 1_772_323_200, "current_period_end": 1_803_859_200}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(
            {
                "pending_update": {
                    "subscription_items": [{"id": "si_1", "price": "price_more", "quantity": 9}]
                }
            },
            {"items": ("price_1Pro", 3)},
            id="an-update-that-waits-for-payment",
        ),
        pytest.param({"schedule": "sub_sched_1"}, {"cancel_at": None}, id="a-schedule-changes-nothing-yet"),
        pytest.param(
            {"cancel_at_period_end": True} | items(LINE | PERIOD, YEARLY),
            {"cancel_at": 1_803_859_200},
            id="mixed-intervals-end-with-the-last",
        ),
        pytest.param(
            {"cancel_at": 1_775_001_600, "cancel_at_period_end": True},
            {"cancel_at": 1_775_001_600},
            id="portal-in-classic-mode",
        ),
        pytest.param(
            {"cancel_at": 1_775_001_600}, {"cancel_at": 1_775_001_600}, id="portal-in-flexible-mode"
        ),
        pytest.param(
            {"pause_collection": {"behavior": "void", "resumes_at": 1_780_000_000}},
            {"pause_collection": PauseCollection("void", resumes_at=1_780_000_000)},
            id="collection-paused",
        ),
        pytest.param({"pause_collection": None}, {"pause_collection": None}, id="collection-goes-on"),
        pytest.param({"status": "hibernating"}, {"status": "hibernating"}, id="unknown-status"),
        pytest.param({"status": "x" * 99}, {"status": "x" * 64}, id="endless-status"),
        pytest.param({"trial_end": 1_775_001_600}, {"trial_end": 1_775_001_600}, id="trial"),
    ],
)
def test_what_a_subscription_tells_beside_its_items(change: dict[str, Any], told: dict[str, Any]) -> None:
    state = read_subscription(ENDIVE | change).state

    found = {"items": (state.items[0].price, state.items[0].quantity)}
    assert told == {name: found.get(name, getattr(state, name)) for name in told}


def test_an_account_may_stand_where_the_customer_does() -> None:
    found = read_subscription(ENDIVE | {"customer": None, "customer_account": "acct_1"})

    assert found.customer == "acct_1"


@pytest.mark.parametrize(
    ("invoice", "since"),
    [
        pytest.param(None, None, id="not-read"),
        pytest.param({"status": "open", "due_date": 500, "status_transitions": {}}, 500, id="was-due"),
        pytest.param(
            {"status": "open", "due_date": None, "status_transitions": {"finalized_at": 400}},
            400,
            id="was-charged-when-final",
        ),
        pytest.param({"status": "paid", "due_date": 500}, None, id="is-paid"),
        pytest.param({"status": "open"}, None, id="says-nothing"),
    ],
)
def test_the_unpaid_invoice_tells_since_when_it_is_past_due(
    invoice: dict[str, Any] | None, since: int | None
) -> None:
    assert read_subscription(ENDIVE | {"status": "past_due"}, (), invoice).state.past_due_since == since
