"""Meter events: usage as it is reported, checked at once or later; and their cancellation within a day."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from flux_sandbox.errors import RefusedError
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.meter_errors import MeterError
from flux_sandbox.meter_log import Usage
from flux_sandbox.parameters import Params, Shape, Text, TextMap, Whole, shape
from flux_sandbox.route import Call, Route

__all__ = ["ROUTES"]

_DAY = 86_400
_OLDEST = 35 * _DAY
_NEWEST = 5 * 60
_MAX_DIGITS = 15


def _create(call: Call) -> Document:
    timestamp = call.params.get("timestamp", call.now)
    identifier = _unused_identifier(call)
    try:
        call.action.account.meter_log.add(_usage(call, identifier, timestamp))
    except RefusedError as error:
        if not call.action.account.meter_errors.later:
            raise
        _note(call, error, identifier)
    return {
        "object": "billing.meter_event",
        "created": call.now,
        "event_name": call.params["event_name"],
        "identifier": identifier,
        "livemode": False,
        "payload": call.params["payload"],
        "timestamp": timestamp,
    }


def _usage(call: Call, identifier: str, timestamp: int) -> Usage:
    """Return what a meter event says, if nothing is wrong with it."""
    payload, meter = call.params["payload"], _active_meter(call.ledger, call.params["event_name"])
    return Usage(
        identifier=identifier,
        event_name=call.params["event_name"],
        meter=meter["id"],
        customer=_customer(call.ledger, meter, payload),
        value=_value(meter, payload),
        timestamp=_checked_timestamp(timestamp, call.now),
        received_at=call.now,
    )


def _note(call: Call, error: RefusedError, identifier: str) -> None:
    """Keep an error for a later report."""
    named = _meters(call.ledger, call.params["event_name"])
    meter = named[0]["id"] if named else None
    found = MeterError(meter, error.code or error.type, error.message, identifier, call.now)
    call.action.account.meter_errors.note(found)


def _meters(ledger: Ledger, event_name: str) -> list[Document]:
    return [meter for meter in ledger.newest_first("billing.meter") if meter["event_name"] == event_name]


def _active_meter(ledger: Ledger, event_name: str) -> Document:
    named = _meters(ledger, event_name)
    for meter in named:
        if meter["status"] == "active":
            return meter
    code = "archived_meter" if named else "no_meter"
    raise RefusedError(f"No active meter found for event name '{event_name}'.", code=code, param="event_name")


def _checked_timestamp(timestamp: int, now: int) -> int:
    if timestamp < now - _OLDEST:
        message = "Timestamp must be within the past 35 calendar days."
        raise RefusedError(message, code="timestamp_too_far_in_past", param="timestamp")
    if timestamp > now + _NEWEST:
        message = "Timestamp must not be more than 5 minutes in the future."
        raise RefusedError(message, code="timestamp_in_future", param="timestamp")
    return timestamp


def _unused_identifier(call: Call) -> str:
    """Return the event's identifier, which no other event of the last 24 hours has.

    Stripe promises to remember it for no longer; here it is forgotten then, so that who resends later is found out.
    """
    identifier: str = call.params.get("identifier") or call.action.account.new_id("mtrevt")
    used = call.action.account.meter_log.find(identifier)
    if used is not None and used.received_at > call.now - _DAY:
        message = f"An event already exists with identifier {identifier}."
        raise RefusedError(message, headers={"stripe-should-retry": "false"})
    return identifier


def _customer(ledger: Ledger, meter: Document, payload: dict[str, str]) -> str:
    key = meter["customer_mapping"]["event_payload_key"]
    if key not in payload:
        message = f"The payload has no customer: the meter looks for it under '{key}'."
        raise RefusedError(message, code="meter_event_no_customer_defined", param=f"payload[{key}]")
    if ledger.find("customer", payload[key]) is None:
        message = f"No such customer: '{payload[key]}'"
        raise RefusedError(message, code="meter_event_customer_not_found", param=f"payload[{key}]")
    return payload[key]


def _value(meter: Document, payload: dict[str, str]) -> Decimal:
    if meter["default_aggregation"]["formula"] == "count":
        return Decimal(1)
    key = meter["value_settings"]["event_payload_key"]
    text = payload.get(key)
    if text is None:
        message = f"The payload has no value: the meter looks for it under '{key}'."
        raise RefusedError(message, code="meter_event_value_not_found", param=f"payload[{key}]")
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        message = f"Invalid value '{text}': it must be a plain decimal number."
        raise RefusedError(message, code="meter_event_invalid_value", param=f"payload[{key}]")
    if sum(character.isdigit() for character in text) > _MAX_DIGITS:
        message = f"A value has at most {_MAX_DIGITS} digits."
        raise RefusedError(message, code="meter_event_value_too_many_digits", param=f"payload[{key}]")
    return Decimal(text)


def _one_at_a_time(params: Params) -> tuple[str, str | None]:
    """Of a customer, a meter takes one event at a time; the customer is looked for where it is by default."""
    return params["event_name"], params["payload"].get("stripe_customer_id")


def _adjust(call: Call) -> Document:
    params = call.params
    identifier = params["cancel"]["identifier"]
    log = call.action.account.meter_log
    usage = log.find(identifier)
    if usage is None or usage.event_name != params["event_name"]:
        message = f"No event of '{params['event_name']}' exists with identifier {identifier}."
        raise RefusedError(message, param="cancel[identifier]")
    if usage.received_at <= call.now - _DAY:
        message = "An event can only be cancelled within 24 hours of being received."
        raise RefusedError(message, param="cancel[identifier]")
    log.cancel(usage)
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": params["event_name"],
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


ROUTES: Final = (
    Route(
        "POST",
        "/v1/billing/meter_events",
        _create,
        shape(
            {
                "event_name": Text(max_length=100),
                "identifier": Text(max_length=100),
                "payload": TextMap(max_name_length=100, removable=False),
                "timestamp": Whole(),
            },
            "event_name",
            "payload",
        ),
        alone=_one_at_a_time,
    ),
    Route(
        "POST",
        "/v1/billing/meter_event_adjustments",
        _adjust,
        shape(
            {
                "cancel": Shape({"identifier": Text(max_length=100)}, ("identifier",)),
                "event_name": Text(max_length=100),
                "type": Text(choices=("cancel",)),
            },
            "cancel",
            "event_name",
            "type",
        ),
    ),
)
