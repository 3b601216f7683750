"""Products: what is sold."""

from __future__ import annotations

from typing import Any, Final

from flux_sandbox.account import Action
from flux_sandbox.errors import RefusedError
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
    Params,
    Shape,
    Text,
    Unsimulated,
    shape,
)
from flux_sandbox.route import Call, Route

__all__ = ["INLINE_PRODUCT", "ROUTES", "new_product"]

_FIELDS: Final[Fields] = {
    "active": Flag(),
    "description": Clearable(Text()),
    "images": Clearable(ListOf(Text(), max_items=8)),
    "marketing_features": Clearable(ListOf(Shape({"name": Text(max_length=80)}, ("name",)), max_items=15)),
    "metadata": METADATA,
    "name": Text(),
    "shippable": Flag(),
    "statement_descriptor": Text(max_length=22),
    "tax_code": Clearable(Text()),
    "unit_label": Clearable(Text(max_length=12)),
    "url": Clearable(Text()),
}
INLINE_PRODUCT: Final = Shape(
    {name: _FIELDS[name] for name in ("active", "metadata", "name", "unit_label")} | {"id": Text()}, ("name",)
)
"""A product that is made along with its price."""


def new_product(action: Action, params: Params) -> Document:
    """Create a product."""
    id_ = params.get("id") or action.account.new_id("prod")
    if action.ledger.find("product", id_) is not None:
        raise RefusedError(f"Product already exists: {id_}", code="resource_already_exists", param="id")
    empty: dict[str, Any] = {"images": [], "marketing_features": []}
    texts = dict.fromkeys(
        ("description", "shippable", "statement_descriptor", "tax_code", "unit_label", "url")
    )
    document = {
        "id": id_,
        "object": "product",
        "active": True,
        "created": action.now,
        "default_price": None,
        "livemode": False,
        "package_dimensions": None,
        "tax_details": None,
        "type": "service",
        "updated": action.now,
        **texts,
        **empty,
        **{name: value for name, value in params.items() if name in _FIELDS and value is not None},
        "metadata": merge_metadata({}, params),
    }
    return action.create(document, "product.created")


def _create(call: Call) -> Document:
    return new_product(call.action, call.params)


def _retrieve(call: Call) -> Document:
    return call.ledger.require("product", call.target)


def _update(call: Call) -> Document:
    product = call.ledger.require("product", call.target)
    changes = {name: value for name, value in call.params.items() if name in _FIELDS}
    for name in ("images", "marketing_features"):
        if name in changes:
            changes[name] = changes[name] or []
    if "default_price" in call.params:
        changes["default_price"] = _default_price(call, product)
    changes["metadata"] = merge_metadata(product["metadata"], call.params)
    return call.action.update(product, changes, "product.updated")


def _default_price(call: Call, product: Document) -> str | None:
    wanted: str | None = call.params["default_price"]
    if wanted is None:
        return None
    price = call.ledger.require("price", wanted, param="default_price")
    if price["product"] != product["id"]:
        message = f"The price '{wanted}' belongs to another product."
        raise RefusedError(message, param="default_price")
    return wanted


def _delete(call: Call) -> Document:
    product = call.ledger.require("product", call.target)
    if any(price["product"] == product["id"] for price in call.ledger.newest_first("price")):
        message = "This product cannot be deleted because it has one or more user-created prices."
        raise RefusedError(message)
    return call.action.delete(product, "product.deleted")


def _list(call: Call) -> Document:
    return page("/v1/products", call.ledger.every("product"), call.params, _matches)


def _matches(product: Document, params: Params) -> bool:
    return (
        product["active"] == params.get("active", product["active"])
        and product["id"] in params.get("ids", [product["id"]])
        and in_range(product["created"], params.get("created"))
    )


ROUTES: Final = (
    Route(
        "POST",
        "/v1/products",
        _create,
        shape(
            {
                **_FIELDS,
                "id": Text(),
                "type": Text(choices=("good", "service")),
                "default_price_data": Unsimulated(),
                "package_dimensions": Unsimulated(),
                "tax_details": Unsimulated(),
            },
            "name",
        ),
    ),
    Route(
        "GET",
        "/v1/products",
        _list,
        shape({**LIST, "active": Flag(), "created": RANGE, "ids": ListOf(Text())}),
    ),
    Route("GET", "/v1/products/{id}", _retrieve, shape()),
    Route(
        "POST",
        "/v1/products/{id}",
        _update,
        shape({**_FIELDS, "default_price": Clearable(Text())}),
    ),
    Route("DELETE", "/v1/products/{id}", _delete, shape()),
)
