"""Prices: what a product costs, once or in each period, by quantity or by metered usage."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from flux_sandbox.errors import InvalidParametersError, Problem, RefusedError
from flux_sandbox.ledger import Document
from flux_sandbox.lists import in_range, page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import (
    LIST,
    METADATA,
    RANGE,
    Clearable,
    Fields,
    Flag,
    ListOf,
    Number,
    Params,
    Shape,
    Text,
    Unsimulated,
    Whole,
    shape,
)
from flux_sandbox.products import INLINE_PRODUCT, new_product
from flux_sandbox.route import Call, Route
from flux_sandbox.versions import BASIL

__all__ = ["ROUTES"]

_MAX_COUNTS: Final = {"day": 1_095, "week": 156, "month": 36, "year": 3}  # three years
_INTERVALS: Final = tuple(_MAX_COUNTS)
_USAGE_TYPES: Final = ("licensed", "metered")
_TAX_BEHAVIORS: Final = ("exclusive", "inclusive", "unspecified")
_RECURRING: Final = Shape(
    {
        "interval": Text(choices=_INTERVALS),
        "interval_count": Whole(minimum=1),
        "meter": Text(),
        "trial_period_days": Whole(maximum=730),
        "usage_type": Text(choices=_USAGE_TYPES),
    },
    ("interval",),
)
_UNSIMULATED: Final = (
    "currency_options",
    "custom_unit_amount",
    "tiers",
    "tiers_mode",
    "transform_quantity",
)


def _create(call: Call) -> Document:
    params = call.params
    currency = _currency(params["currency"])
    recurring = _recurring(call, params["recurring"]) if "recurring" in params else None
    amounts = _amounts(params)
    holder = _lookup_key_holder(call)
    product = _product(call)
    _release_lookup_key(call, holder)
    document = {
        "id": call.action.account.new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": call.now,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": merge_metadata({}, params),
        "nickname": params.get("nickname"),
        "product": product,
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time" if recurring is None else "recurring",
        **amounts,
    }
    return call.action.create(document, "price.created")


def _currency(code: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3}", code):
        raise RefusedError(f"Invalid currency: {code}. It must be a three-letter code.", param="currency")
    return code.lower()


def _recurring(call: Call, given: Params) -> Document:
    usage_type, meter = given.get("usage_type", "licensed"), given.get("meter")
    if usage_type == "metered" and meter is None and call.action.origin.version >= BASIL:
        message = (
            "Metered prices must be backed by a meter since API version 2025-03-31.basil: create one with "
            "POST /v1/billing/meters and name it in recurring[meter]."
        )
        raise InvalidParametersError([Problem("recurring[meter]", "parameter_missing", message)])
    if meter is not None:
        _check_meter(call, meter, usage_type)
    interval, count = given["interval"], given.get("interval_count", 1)
    if count > _MAX_COUNTS[interval]:
        message = f"A period is at most three years: {_MAX_COUNTS[interval]} {interval}s."
        raise RefusedError(message, param="recurring[interval_count]")
    return {
        "interval": interval,
        "interval_count": count,
        "meter": meter,
        "trial_period_days": given.get("trial_period_days"),
        "usage_type": usage_type,
    }


def _check_meter(call: Call, meter: str, usage_type: str) -> None:
    if usage_type != "metered":
        message = "recurring[meter] needs recurring[usage_type]=metered."
        raise RefusedError(message, param="recurring[meter]")
    found = call.ledger.require("billing.meter", meter, param="recurring[meter]")
    if found["status"] != "active":
        raise RefusedError(f"The meter '{meter}' is inactive.", param="recurring[meter]")


def _amounts(params: Params) -> dict[str, Any]:
    if ("unit_amount" in params) == ("unit_amount_decimal" in params):
        message = "You must specify exactly one of `unit_amount` and `unit_amount_decimal`."
        raise InvalidParametersError([Problem("unit_amount", "parameter_missing", message)])
    if "unit_amount" in params:
        return {"unit_amount": params["unit_amount"], "unit_amount_decimal": str(params["unit_amount"])}
    amount = Decimal(params["unit_amount_decimal"])
    whole = int(amount) if amount == amount.to_integral_value() else None
    return {"unit_amount": whole, "unit_amount_decimal": params["unit_amount_decimal"]}


def _product(call: Call) -> str:
    """Return the product's id, after making the product if the request describes one."""
    params = call.params
    if ("product" in params) == ("product_data" in params):
        message = "You must specify exactly one of `product` and `product_data`."
        raise InvalidParametersError([Problem("product", "parameter_missing", message)])
    if "product_data" in params:
        return str(new_product(call.action, params["product_data"])["id"])
    return str(call.ledger.require("product", params["product"], param="product")["id"])


def _lookup_key_holder(call: Call) -> Document | None:
    """Return the other price that has the lookup key asked for, if the request may take it away."""
    key = call.params.get("lookup_key")
    others = (price for price in call.ledger.newest_first("price") if price["id"] != call.target)
    holder = key and next((price for price in others if price["lookup_key"] == key), None)
    if holder and not call.params.get("transfer_lookup_key"):
        message = f"A price (`{holder['id']}`) already uses that lookup key."
        raise RefusedError(message, param="lookup_key")
    return holder or None


def _release_lookup_key(call: Call, holder: Document | None) -> None:
    if holder is not None:
        call.action.update(holder, {"lookup_key": None}, "price.updated")


def _retrieve(call: Call) -> Document:
    return call.ledger.require("price", call.target)


def _update(call: Call) -> Document:
    price = call.ledger.require("price", call.target)
    plain = ("active", "lookup_key", "nickname", "tax_behavior")
    changes = {name: call.params[name] for name in plain if name in call.params}
    _release_lookup_key(call, _lookup_key_holder(call))
    changes["metadata"] = merge_metadata(price["metadata"], call.params)
    return call.action.update(price, changes, "price.updated")


def _list(call: Call) -> Document:
    return page("/v1/prices", call.ledger.every("price"), call.params, _matches)


def _matches(price: Document, params: Params) -> bool:
    same = all(price[name] == params.get(name, price[name]) for name in ("active", "product", "type"))
    recurring = price["recurring"] or {}
    return (
        same
        and params.get("currency", price["currency"]) == price["currency"]
        and price["lookup_key"] in params.get("lookup_keys", [price["lookup_key"]])
        and all(recurring.get(name) == value for name, value in params.get("recurring", {}).items())
        and in_range(price["created"], params.get("created"))
    )


_UPDATABLE: Final[Fields] = {
    "active": Flag(),
    "lookup_key": Clearable(Text(max_length=200)),
    "metadata": METADATA,
    "nickname": Clearable(Text()),
    "tax_behavior": Text(choices=_TAX_BEHAVIORS),
    "transfer_lookup_key": Flag(),
    "currency_options": Unsimulated(),
}
ROUTES: Final = (
    Route(
        "POST",
        "/v1/prices",
        _create,
        shape(
            {
                **_UPDATABLE,
                "billing_scheme": Text(choices=("per_unit",)),
                "currency": Text(max_length=3),
                "product": Text(),
                "product_data": INLINE_PRODUCT,
                "recurring": _RECURRING,
                "unit_amount": Whole(),
                "unit_amount_decimal": Number(),
                **dict.fromkeys(_UNSIMULATED, Unsimulated()),
            },
            "currency",
        ),
    ),
    Route(
        "GET",
        "/v1/prices",
        _list,
        shape(
            {
                **LIST,
                "active": Flag(),
                "created": RANGE,
                "currency": Text(max_length=3),
                "lookup_keys": ListOf(Text(), max_items=10),
                "product": Text(),
                "recurring": Shape(
                    {
                        "interval": Text(choices=_INTERVALS),
                        "meter": Text(),
                        "usage_type": Text(choices=_USAGE_TYPES),
                    }
                ),
                "type": Text(choices=("one_time", "recurring")),
            }
        ),
    ),
    Route("GET", "/v1/prices/{id}", _retrieve, shape()),
    Route("POST", "/v1/prices/{id}", _update, shape(_UPDATABLE)),
)
