"""Meters: what metered prices count, and its sums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from flux_sandbox.errors import RefusedError
from flux_sandbox.ledger import Document
from flux_sandbox.lists import page
from flux_sandbox.meter_log import WINDOWS, Usage, aggregate
from flux_sandbox.parameters import LIST, Params, Shape, Text, Whole, shape
from flux_sandbox.route import Call, Route

__all__ = ["ROUTES"]


def _create(call: Call) -> Document:
    params = call.params
    for meter in call.ledger.newest_first("billing.meter"):
        if meter["status"] == "active" and meter["event_name"] == params["event_name"]:
            message = (
                f"An active meter with event name '{params['event_name']}' already exists: {meter['id']}"
            )
            raise RefusedError(message, param="event_name")
    document = {
        "id": call.action.account.new_id("mtr_test"),
        "object": "billing.meter",
        "created": call.now,
        "customer_mapping": params.get(
            "customer_mapping", {"event_payload_key": "stripe_customer_id", "type": "by_id"}
        ),
        "default_aggregation": params["default_aggregation"],
        "display_name": params["display_name"],
        "event_name": params["event_name"],
        "event_time_window": params.get("event_time_window"),
        "livemode": False,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": call.now,
        "value_settings": params.get("value_settings", {"event_payload_key": "value"}),
    }
    return call.action.create(document, "billing.meter.created")


def _retrieve(call: Call) -> Document:
    return call.ledger.require("billing.meter", call.target)


def _update(call: Call) -> Document:
    changes = {name: value for name, value in call.params.items() if name == "display_name"}
    return call.action.update(_retrieve(call), changes, "billing.meter.updated")


def _deactivate(call: Call) -> Document:
    changes = {"status": "inactive", "status_transitions": {"deactivated_at": call.now}}
    return _switch(call, "active", changes, "billing.meter.deactivated")


def _reactivate(call: Call) -> Document:
    changes = {"status": "active", "status_transitions": {"deactivated_at": None}}
    return _switch(call, "inactive", changes, "billing.meter.reactivated")


def _switch(call: Call, expected: str, changes: Document, event: str) -> Document:
    meter = _retrieve(call)
    if meter["status"] != expected:
        raise RefusedError(f"The meter '{meter['id']}' is already {meter['status']}.")
    return call.action.update(meter, changes, event)


def _list(call: Call) -> Document:
    return page("/v1/billing/meters", call.ledger.every("billing.meter"), call.params, _matches)


def _matches(meter: Document, params: Params) -> bool:
    return bool(meter["status"] == params.get("status", meter["status"]))


def _summaries(call: Call) -> Document:
    meter, params = _retrieve(call), call.params
    call.ledger.require("customer", params["customer"], param="customer")
    start, end = params["start_time"], params["end_time"]
    window: str | None = params.get("value_grouping_window")
    _check_aligned(start, end, window or "minute")
    usage = call.action.account.meter_log.between(meter["id"], params["customer"], start, end)
    if window is None:
        found = [_summary(meter, params["customer"], start, end, usage)]
    else:
        found = list(_grouped(meter, params["customer"], WINDOWS[window], usage))
    return page(f"/v1/billing/meters/{meter['id']}/event_summaries", reversed(found), params)


def _check_aligned(start: int, end: int, unit: str) -> None:
    seconds = {"minute": 60, **WINDOWS}[unit]
    for param, moment in (("start_time", start), ("end_time", end)):
        if moment % seconds:
            raise RefusedError(f"{param} must be aligned with {unit} boundaries.", param=param)
    if start >= end:
        raise RefusedError("start_time must be before end_time.", param="start_time")


def _grouped(meter: Document, customer: str, seconds: int, usage: list[Usage]) -> Iterator[Document]:
    """Yield a summary of each window that has usage."""
    for start in dict.fromkeys(one.timestamp // seconds * seconds for one in usage):
        inside = [one for one in usage if start <= one.timestamp < start + seconds]
        yield _summary(meter, customer, start, start + seconds, inside)


def _summary(meter: Document, customer: str, start: int, end: int, usage: list[Usage]) -> Document:
    value = aggregate(usage, meter["default_aggregation"]["formula"], meter["event_time_window"])
    # Made from what it sums up, so that the next page can be asked for by the id of this one's last.
    digest = hashlib.sha256(f"{meter['id']}|{customer}|{start}|{end}".encode()).hexdigest()
    return {
        "id": f"mtrusg_test_{digest[:24]}",
        "object": "billing.meter_event_summary",
        "aggregated_value": float(value),
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }


_PAYLOAD_KEY: Final = Text(max_length=100)
ROUTES: Final = (
    Route(
        "POST",
        "/v1/billing/meters",
        _create,
        shape(
            {
                "customer_mapping": Shape(
                    {"event_payload_key": _PAYLOAD_KEY, "type": Text(choices=("by_id",))},
                    ("event_payload_key", "type"),
                ),
                "default_aggregation": Shape(
                    {"formula": Text(choices=("sum", "count", "last"))}, ("formula",)
                ),
                "display_name": Text(max_length=250),
                "event_name": Text(max_length=100),
                "event_time_window": Text(choices=("day", "hour")),
                "value_settings": Shape({"event_payload_key": _PAYLOAD_KEY}, ("event_payload_key",)),
            },
            "default_aggregation",
            "display_name",
            "event_name",
        ),
    ),
    Route(
        "GET",
        "/v1/billing/meters",
        _list,
        shape({**LIST, "status": Text(choices=("active", "inactive"))}),
    ),
    Route("GET", "/v1/billing/meters/{id}", _retrieve, shape()),
    Route("POST", "/v1/billing/meters/{id}", _update, shape({"display_name": Text(max_length=250)})),
    Route("POST", "/v1/billing/meters/{id}/deactivate", _deactivate, shape()),
    Route("POST", "/v1/billing/meters/{id}/reactivate", _reactivate, shape()),
    Route(
        "GET",
        "/v1/billing/meters/{id}/event_summaries",
        _summaries,
        shape(
            {
                **LIST,
                "customer": Text(),
                "end_time": Whole(),
                "start_time": Whole(),
                "value_grouping_window": Text(choices=("day", "hour")),
            },
            "customer",
            "end_time",
            "start_time",
        ),
    ),
)
