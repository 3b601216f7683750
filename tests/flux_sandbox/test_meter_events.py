from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop
from tests.flux_sandbox.test_meters import summaries

DAY = 86_400


def total(sandbox: RunningSandbox, shop: Shop) -> float:
    return sum(value for _, value in summaries(sandbox, shop))


def test_a_used_identifier_is_refused_and_not_counted_again(sandbox: RunningSandbox, shop: Shop) -> None:
    shop.use(5, "once")

    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use(5, "once")

    assert (refused.value.http_status, refused.value.code) == (400, None)
    assert refused.value.user_message == "An event already exists with identifier once."
    assert refused.value.headers is not None
    assert refused.value.headers["stripe-should-retry"] == "false"
    assert total(sandbox, shop) == 5


def test_an_identifier_is_forgotten_after_a_day(sandbox: RunningSandbox, shop: Shop) -> None:
    shop.use(5, "once")
    sandbox.advance(DAY)

    shop.use(5, "once")

    assert total(sandbox, shop) == 10


@pytest.mark.parametrize(
    ("age", "code"),
    [
        pytest.param(35 * DAY + 60, "timestamp_too_far_in_past", id="too-old"),
        pytest.param(-360, "timestamp_in_future", id="too-new"),
    ],
)
def test_usage_of_other_times_is_refused(sandbox: RunningSandbox, shop: Shop, age: int, code: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use(1, "late", sandbox.now() - age)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param("1e3", "meter_event_invalid_value", id="exponent"),
        pytest.param("1,000", "meter_event_invalid_value", id="thousands"),
        pytest.param("1" * 16, "meter_event_value_too_many_digits", id="digits"),
        pytest.param("", "parameter_invalid_empty", id="empty"),
    ],
)
def test_values_are_plain_decimal_numbers(sandbox: RunningSandbox, shop: Shop, value: str, code: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use(value, "value")

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"event_name": "unknown"}, "no_meter", id="no-meter"),
        pytest.param({"payload": {"value": "1"}}, "meter_event_no_customer_defined", id="no-customer"),
        pytest.param(
            {"payload": {"stripe_customer_id": "cus_1", "value": "1"}},
            "meter_event_customer_not_found",
            id="unknown-customer",
        ),
        pytest.param({"identifier": "x" * 101}, "parameter_invalid_string_too_long", id="long-identifier"),
    ],
)
def test_usage_that_belongs_nowhere_is_refused(
    sandbox: RunningSandbox, shop: Shop, change: Any, code: str
) -> None:
    payload = {"stripe_customer_id": shop.customer, "value": "1"}
    params: Any = {"event_name": "api-calls", "payload": payload, **change}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.billing.meter_events.create(params)

    assert refused.value.code == code


def cancel(sandbox: RunningSandbox, identifier: str) -> stripe.billing.MeterEventAdjustment:
    return sandbox.stripe.v1.billing.meter_event_adjustments.create(
        {"event_name": "api-calls", "type": "cancel", "cancel": {"identifier": identifier}}
    )


def test_usage_is_cancelled_within_a_day(sandbox: RunningSandbox, shop: Shop) -> None:
    shop.use(5, "wrong")
    shop.use(1, "right")

    assert cancel(sandbox, "wrong").status == "complete"

    assert total(sandbox, shop) == 1
    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier"):
        shop.use(5, "wrong")
    sandbox.advance(DAY)
    with pytest.raises(stripe.InvalidRequestError, match="within 24 hours"):
        cancel(sandbox, "right")
    with pytest.raises(stripe.InvalidRequestError, match="No event"):
        cancel(sandbox, "never-sent")
