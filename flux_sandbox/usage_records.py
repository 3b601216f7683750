"""Usage records: how usage was reported before meters, still taken from requests that name a version from before.

Only items whose price is metered without a meter take them; such a price can only be made in those versions, too.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from flux_sandbox.errors import RefusedError
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.lists import page
from flux_sandbox.parameters import LIST, Text, Whole, shape
from flux_sandbox.route import Call, Route
from flux_sandbox.versions import BASIL

__all__ = ["ROUTES", "recorded"]

_LOG: Final = "usage_record_log"
_PATH: Final = "/v1/subscription_items/{id}"


def recorded(ledger: Ledger, item: str, start: int, end: int) -> int:
    """Return what was reported of an item, from `start` to before `end`."""
    return sum(one["quantity"] for one in _records(ledger, item) if start <= one["timestamp"] < end)


def _create(call: Call) -> Document:
    item, params = _item(call.ledger, call.target), call.params
    _check_price(call.ledger, item)
    timestamp = params.get("timestamp", "now")
    moment = call.now if timestamp == "now" else _checked(timestamp, item, call.now)
    records = _records(call.ledger, item["id"])
    before = next((one for one in records if one["timestamp"] == moment), {"quantity": 0})
    adds = params.get("action", "increment") == "increment"
    record = {
        "quantity": params["quantity"] + (before["quantity"] if adds else 0),
        "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
        "timestamp": moment,
    }
    kept = [one for one in records if one["timestamp"] != moment]
    call.ledger.put({"id": item["id"], "object": _LOG, "records": [*kept, record]})
    return {
        "id": call.action.account.new_id("mbur"),
        "object": "usage_record",
        "livemode": False,
        "quantity": params["quantity"],
        "subscription_item": item["id"],
        "timestamp": moment,
    }


def _item(ledger: Ledger, id_: str) -> Document:
    note = ledger.require("subscription_item", id_)
    items = ledger.require("subscription", note["subscription"])["items"]
    return next(item for item in items if item["id"] == id_)


def _check_price(ledger: Ledger, item: Document) -> None:
    recurring = ledger.require("price", item["price"])["recurring"]
    if recurring["usage_type"] != "metered":
        message = f"Usage records can only be created for metered plans; that of {item['id']} is licensed."
        raise RefusedError(message)
    if recurring["meter"] is not None:
        message = (
            f"Cannot create a usage record for {item['id']} because it is not on the legacy metered billing system. "
            "Call /v1/billing/meter_events instead."
        )
        raise RefusedError(message)


def _checked(timestamp: int, item: Document, now: int) -> int:
    if timestamp < item["current_period_start"]:
        message = (
            "Cannot create the usage record with this timestamp because timestamps must be after the subscription's "
            "last invoice period (or current period start time)."
        )
        raise RefusedError(message, param="timestamp")
    if timestamp > now:
        message = "Cannot create the usage record with this timestamp because it is in the future."
        raise RefusedError(message, param="timestamp")
    return timestamp


def _records(ledger: Ledger, item: str) -> list[Document]:
    log = ledger.find(_LOG, item)
    return [] if log is None else log["records"]


def _list(call: Call) -> Document:
    item = _item(call.ledger, call.target)
    totals: defaultdict[tuple[int, int], int] = defaultdict(int)
    totals[item["current_period_start"], item["current_period_end"]] = 0
    for record in _records(call.ledger, item["id"]):
        totals[record["period"]["start"], record["period"]["end"]] += record["quantity"]
    summaries = [
        _summary(item["id"], period, total) for period, total in sorted(totals.items(), reverse=True)
    ]
    return page(f"/v1/subscription_items/{item['id']}/usage_record_summaries", summaries, call.params)


def _summary(item: str, period: tuple[int, int], total: int) -> Document:
    start, end = period
    return {
        "id": f"sis_{item.removeprefix('si_')}_{start}",
        "object": "usage_record_summary",
        "invoice": None,
        "livemode": False,
        "period": {"start": start, "end": end},
        "subscription_item": item,
        "total_usage": total,
    }


ROUTES: Final = (
    Route(
        "POST",
        f"{_PATH}/usage_records",
        _create,
        shape(
            {
                "action": Text(choices=("increment", "set")),
                "quantity": Whole(),
                "timestamp": Whole(words=("now",)),
            },
            "quantity",
        ),
        gone_since=BASIL,
    ),
    Route("GET", f"{_PATH}/usage_record_summaries", _list, shape(LIST), gone_since=BASIL),
)
