from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.flux_sandbox.running import RunningSandbox
from tests.flux_sandbox.shop import Shop

HOUR = 3_600
DAY = 86_400


def summaries(sandbox: RunningSandbox, shop: Shop, meter: str = "", **params: Any) -> list[tuple[int, float]]:
    """Return the sums of the last two days and the coming one, oldest first."""
    midnight = sandbox.now() // DAY * DAY
    wanted: Any = {
        "customer": shop.customer,
        "start_time": midnight - 2 * DAY,
        "end_time": midnight + DAY,
        "limit": 100,
        **params,
    }
    page = sandbox.stripe.v1.billing.meters.event_summaries.list(meter or shop.meter, wanted)
    return [(one.start_time, one.aggregated_value) for one in reversed(page.data)]


def test_usage_is_summed_for_the_time_asked_for(sandbox: RunningSandbox, shop: Shop) -> None:
    yesterday = sandbox.now() // DAY * DAY - DAY
    for value, offset in (("1", 0), ("2", HOUR - 1), ("4", HOUR), ("8.5", -1)):
        shop.use(value, f"usage-{value}", yesterday + offset)

    assert summaries(sandbox, shop) == [(yesterday - DAY, 15.5)]
    assert summaries(sandbox, shop, start_time=yesterday, end_time=yesterday + HOUR) == [(yesterday, 3)]
    assert summaries(sandbox, shop, value_grouping_window="day") == [(yesterday - DAY, 8.5), (yesterday, 7)]
    assert summaries(sandbox, shop, value_grouping_window="hour") == [
        (yesterday - HOUR, 8.5),
        (yesterday, 3),
        (yesterday + HOUR, 4),
    ]


def test_there_is_one_sum_even_of_nothing(sandbox: RunningSandbox, shop: Shop) -> None:
    assert [value for _, value in summaries(sandbox, shop)] == [0]
    assert summaries(sandbox, shop, value_grouping_window="hour") == []


@pytest.mark.parametrize(
    ("formula", "window", "expected"),
    [
        pytest.param("sum", None, 9, id="sum"),
        pytest.param("count", None, 4, id="count"),
        pytest.param("last", None, 2, id="last"),
        pytest.param("sum", "hour", 5, id="pre-aggregated-by-hour"),  # the hour's last, 3, and 2
        pytest.param("sum", "day", 2, id="pre-aggregated-by-day"),
    ],
)
def test_meters_aggregate_by_their_formula_and_window(
    sandbox: RunningSandbox, shop: Shop, formula: Any, window: Any, expected: int
) -> None:
    params: Any = {
        "display_name": "Seconds",
        "event_name": "seconds",
        "default_aggregation": {"formula": formula},
        "customer_mapping": {"event_payload_key": "buyer", "type": "by_id"},
        "value_settings": {"event_payload_key": "seconds"},
    }
    meter = sandbox.stripe.v1.billing.meters.create(
        params | ({"event_time_window": window} if window else {})
    )
    yesterday = sandbox.now() // DAY * DAY - DAY
    for offset, value in ((HOUR, "2"), (0, "1"), (5, "3"), (5, "3")):
        payload = {"buyer": shop.customer, "seconds": value}
        sandbox.stripe.v1.billing.meter_events.create(
            {"event_name": "seconds", "payload": payload, "timestamp": yesterday + offset}
        )

    assert summaries(sandbox, shop, meter.id) == [(yesterday - DAY, expected)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"start_time": 61}, id="minute"),
        pytest.param({"start_time": 60, "value_grouping_window": "hour"}, id="hour"),
        pytest.param({"start_time": 2 * DAY, "end_time": DAY}, id="backwards"),
        pytest.param({"customer": "cus_1"}, id="nobody"),
    ],
)
def test_impossible_summaries_are_refused(sandbox: RunningSandbox, shop: Shop, change: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        summaries(sandbox, shop, **change)


def test_a_meter_is_switched_off_and_on(sandbox: RunningSandbox, shop: Shop) -> None:
    meters = sandbox.stripe.v1.billing.meters

    assert meters.deactivate(shop.meter).status == "inactive"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use(1, "while-off")
    assert refused.value.code == "archived_meter"
    assert meters.list({"status": "active"}).data == []
    assert meters.reactivate(shop.meter).status == "active"
    shop.use(1, "while-on")


def test_an_event_name_has_one_active_meter(sandbox: RunningSandbox, shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        Shop(sandbox.stripe)


def test_only_a_meters_name_changes(sandbox: RunningSandbox, shop: Shop) -> None:
    assert (
        sandbox.stripe.v1.billing.meters.update(shop.meter, {"display_name": "Calls"}).display_name == "Calls"
    )
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: event_name"):
        sandbox.stripe.raw_request("post", f"/v1/billing/meters/{shop.meter}", event_name="calls")
