"""Events: what changed, for those who missed the webhook. They can be read for 30 days."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any, Final

from flux_sandbox.errors import InvalidParametersError, MissingError, Problem
from flux_sandbox.ledger import Document
from flux_sandbox.lists import in_range, page
from flux_sandbox.parameters import LIST, RANGE, Flag, ListOf, Params, Text, shape
from flux_sandbox.route import Call, Route

__all__ = ["ROUTES"]

_KEPT = 30 * 86_400


def _retrieve(call: Call) -> Document:
    event = call.ledger.require("event", call.target)
    if event["created"] <= call.now - _KEPT:
        raise MissingError("event", call.target)
    return event


def _list(call: Call) -> Document:
    if "type" in call.params and "types" in call.params:
        message = "You can only specify one of these parameters: type, types."
        raise InvalidParametersError([Problem("type", "parameters_exclusive", message)])
    kept = takewhile(lambda event: event["created"] > call.now - _KEPT, call.ledger.every("event"))
    return page("/v1/events", kept, call.params, _matches)


def _matches(event: Document, params: Params) -> bool:
    delivered: Any = event["pending_webhooks"] == 0
    return (
        fnmatchcase(event["type"], params.get("type", "*"))
        and event["type"] in params.get("types", [event["type"]])
        and params.get("delivery_success", delivered) == delivered
        and in_range(event["created"], params.get("created"))
    )


ROUTES: Final = (
    Route(
        "GET",
        "/v1/events",
        _list,
        shape(
            {
                **LIST,
                "created": RANGE,
                "delivery_success": Flag(),
                "type": Text(),
                "types": ListOf(Text(), max_items=20),
            }
        ),
    ),
    Route("GET", "/v1/events/{id}", _retrieve, shape()),
)
