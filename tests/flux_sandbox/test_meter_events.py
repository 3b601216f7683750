from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import stripe

from flux_sandbox.api import Request
from tests.flux_sandbox.running import RunningSandbox, running_sandbox, wait_until
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


def test_of_one_customer_a_meter_takes_one_event_at_a_time() -> None:
    arrived, go_on = threading.Event(), threading.Event()

    async def hold(request: Request) -> None:
        if b"identifier=first" in request.body:
            arrived.set()
            await asyncio.to_thread(go_on.wait, 10)

    with running_sandbox(hold=hold) as sandbox:
        shop = Shop(sandbox.stripe)
        first = threading.Thread(target=shop.use, args=(1, "first"))
        first.start()
        wait_until(arrived.is_set)
        with pytest.raises(stripe.RateLimitError) as refused:
            shop.use(1, "second")
        go_on.set()
        first.join(10)
        shop.use(1, "second")

    assert "another API request" in str(refused.value)


def check_later(sandbox: RunningSandbox) -> None:
    sandbox.http.post("/_sandbox/meter_events/checks", json={"later": True}).raise_for_status()


def reports(sandbox: RunningSandbox, **wanted: int) -> dict[str, Any]:
    """Have errors reported; return what each report says, by the type of its event."""
    sandbox.http.post("/_sandbox/meter_events/report", json=wanted).raise_for_status()
    types = ["v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"]
    found = sandbox.stripe.v2.core.events.list({"types": types}).data
    return {event.type: event.to_dict(for_json=True) for event in found}


def test_events_found_wrong_later_are_taken_and_not_counted(sandbox: RunningSandbox, shop: Shop) -> None:
    check_later(sandbox)
    shop.use(3, "good")
    shop.use("a lot", "bad")

    assert total(sandbox, shop) == 3
    assert sandbox.violations() == []


def test_a_report_counts_all_errors_and_names_a_few(sandbox: RunningSandbox, shop: Shop) -> None:
    check_later(sandbox)
    for number in range(5):
        shop.use("a lot", f"value-{number}")
    shop.customer = "cus_nobody"
    shop.use(1, "customer")

    event = reports(sandbox, samples=2)["v1.billing.meter.error_report_triggered"]

    reason = event["data"]["reason"]
    assert (reason["error_count"], event["related_object"]["id"]) == (6, shop.meter)
    assert [(kind["code"], kind["error_count"]) for kind in reason["error_types"]] == [
        ("meter_event_invalid_value", 5),
        ("meter_event_customer_not_found", 1),
    ]
    named = [error["request"]["identifier"] for error in reason["error_types"][0]["sample_errors"]]
    assert named == ["value-0", "value-1"]
    assert event["data"]["validation_start"] < event["data"]["validation_end"]


def test_events_without_a_meter_are_reported_apart(sandbox: RunningSandbox, shop: Shop) -> None:
    check_later(sandbox)
    payload = {"stripe_customer_id": shop.customer, "value": "1"}
    sandbox.stripe.v1.billing.meter_events.create({"event_name": "nothing", "payload": payload})

    (event,) = reports(sandbox).values()

    assert (event["type"], event["related_object"]) == ("v1.billing.meter.no_meter_found", None)
    assert event["data"]["reason"]["error_types"][0]["code"] == "no_meter"


def test_errors_are_reported_once(sandbox: RunningSandbox, shop: Shop) -> None:
    check_later(sandbox)
    shop.use("a lot", "bad")
    reports(sandbox)

    again = sandbox.http.post("/_sandbox/meter_events/report", json={})

    assert again.json() == {"data": []}
