"""Entitlements: features, the products that have them, and so what each customer is entitled to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flux_sandbox.account import Action
from flux_sandbox.errors import RefusedError
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.lists import page
from flux_sandbox.metadata import merge_metadata
from flux_sandbox.parameters import LIST, METADATA, Fields, Flag, Params, Text, shape
from flux_sandbox.rendering import embedded_list, render
from flux_sandbox.route import Call, Route

__all__ = ["ROUTES", "follow"]

_FEATURE: Final = "entitlements.feature"
_ENTITLEMENT: Final = "entitlements.active_entitlement"
_SUMMARY: Final = "entitlements.active_entitlement_summary"
_ENTITLING: Final = ("active", "past_due", "trialing")
"""The statuses of subscriptions whose products' features a customer has."""


def follow(action: Action, changed: Document) -> None:
    """Bring a customer's entitlements up to date after a subscription changed.

    So a feature that is attached to a product reaches its subscribers with their subscription's next change, such
    as its renewal.
    """
    if next(action.ledger.newest_first("product_feature"), None) is None and not _held(
        action.ledger, changed["customer"]
    ):
        return
    before = _held(action.ledger, changed["customer"])
    wanted = dict.fromkeys(_earned(action.ledger, changed["customer"]))
    for feature, entitlement in before.items():
        if feature not in wanted:
            action.ledger.bury(_ENTITLEMENT, entitlement["id"])
    for feature in wanted:
        if feature not in before:
            action.add(_entitlement(action, changed["customer"], feature))
    after = _held(action.ledger, changed["customer"])
    if after.keys() != before.keys():
        _tell(action, changed["customer"], before, after)


def _tell(action: Action, customer: str, before: dict[str, Document], after: dict[str, Document]) -> None:
    """Tell of a customer's entitlements, or of ten of them: who wants all must list them."""
    shown, earlier = (
        embedded_list(
            f"/v1/customer/{customer}/entitlements", [render(action.ledger, one) for one in held.values()]
        )
        for held in (after, before)
    )
    summary = {"object": _SUMMARY, "customer": customer, "entitlements": shown, "livemode": False}
    action.record(f"{_SUMMARY}.updated", summary, previous={"entitlements": earlier})


def _held(ledger: Ledger, customer: str) -> dict[str, Document]:
    """Return a customer's entitlements by feature, newest first."""
    found = (one for one in ledger.newest_first(_ENTITLEMENT) if one["customer"] == customer)
    return {one["feature"]: one for one in found}


def _earned(ledger: Ledger, customer: str) -> Iterator[str]:
    """Iterate over the features of what a customer is subscribed to."""
    products = {
        ledger.require("price", item["price"])["product"]
        for one in ledger.newest_first("subscription")
        if one["customer"] == customer and one["status"] in _ENTITLING
        for item in one["items"]
    }
    for attached in ledger.newest_first("product_feature"):
        if attached["product"] in products and ledger.require(_FEATURE, attached["feature"])["active"]:
            yield attached["feature"]


def _entitlement(action: Action, customer: str, feature: str) -> Document:
    return {
        "id": action.account.new_id("ent"),
        "object": _ENTITLEMENT,
        "customer": customer,
        "feature": feature,
        "livemode": False,
        "lookup_key": action.ledger.require(_FEATURE, feature)["lookup_key"],
    }


def _create(call: Call) -> Document:
    params = call.params
    _refuse_taken(call.ledger, params["lookup_key"])
    document = {
        "id": call.action.account.new_id("feat"),
        "object": _FEATURE,
        "active": True,
        "livemode": False,
        "lookup_key": params["lookup_key"],
        "metadata": merge_metadata({}, params),
        "name": params["name"],
    }
    return call.action.add(document)


def _refuse_taken(ledger: Ledger, key: str) -> None:
    if any(one["active"] and one["lookup_key"] == key for one in ledger.newest_first(_FEATURE)):
        message = f"A feature with the lookup key {key} already exists."
        raise RefusedError(message, code="resource_already_exists", param="lookup_key")


def _retrieve(call: Call) -> Document:
    return call.ledger.require(_FEATURE, call.target)


def _update(call: Call) -> Document:
    feature = call.ledger.require(_FEATURE, call.target)
    if call.params.get("active") and not feature["active"]:
        raise RefusedError("An archived feature cannot be unarchived.", param="active")
    changes: Document = {name: call.params[name] for name in ("active", "name") if name in call.params}
    changes["metadata"] = merge_metadata(feature["metadata"], call.params)
    return call.action.add({**feature, **changes})


def _list(call: Call) -> Document:
    return page("/v1/entitlements/features", call.ledger.every(_FEATURE), call.params, _matches)


def _matches(feature: Document, params: Params) -> bool:
    return bool(
        feature["lookup_key"] == params.get("lookup_key", feature["lookup_key"])
        and feature["active"] != params.get("archived", False)
    )


def _attach(call: Call) -> Document:
    product = call.ledger.require("product", call.target)
    id_ = call.params["entitlement_feature"]
    feature = call.ledger.require(_FEATURE, id_, param="entitlement_feature")
    if not feature["active"]:
        raise RefusedError("An archived feature cannot be attached.", param="entitlement_feature")
    if any(one["feature"] == id_ for one in _attached(call.ledger, product["id"])):
        message = f"The feature {id_} is attached to this product already."
        raise RefusedError(message, param="entitlement_feature")
    document = {
        "id": call.action.account.new_id("prodft"),
        "object": "product_feature",
        "feature": id_,
        "livemode": False,
        "product": product["id"],
    }
    return call.action.add(document)


def _attached(ledger: Ledger, product: str) -> Iterator[Document]:
    return (one for one in ledger.newest_first("product_feature") if one["product"] == product)


def _list_attached(call: Call) -> Document:
    product = call.ledger.require("product", call.target)["id"]
    every = call.ledger.every("product_feature")
    return page(
        f"/v1/products/{product}/features", every, call.params, lambda one, _: bool(one["product"] == product)
    )


def _retrieve_attached(call: Call) -> Document:
    return call.ledger.require("product_feature", call.target)


def _detach(call: Call) -> Document:
    attached = call.ledger.require("product_feature", call.target)
    return call.ledger.bury("product_feature", attached["id"])


def _list_active(call: Call) -> Document:
    customer = call.ledger.require("customer", call.params["customer"], param="customer")["id"]
    return page(
        "/v1/entitlements/active_entitlements",
        call.ledger.every(_ENTITLEMENT),
        call.params,
        lambda one, _: bool(one["customer"] == customer),
    )


def _retrieve_active(call: Call) -> Document:
    return call.ledger.require(_ENTITLEMENT, call.target)


_FIELDS: Final[Fields] = {"metadata": METADATA, "name": Text(max_length=80)}
_FEATURES: Final = "/v1/entitlements/features"
_ACTIVE: Final = "/v1/entitlements/active_entitlements"
_OF_PRODUCTS: Final = "/v1/products/{id}/features"
ROUTES: Final = (
    Route(
        "POST",
        _FEATURES,
        _create,
        shape({**_FIELDS, "lookup_key": Text(max_length=80)}, "lookup_key", "name"),
    ),
    Route("GET", _FEATURES, _list, shape({**LIST, "archived": Flag(), "lookup_key": Text()})),
    Route("GET", f"{_FEATURES}/{{id}}", _retrieve, shape()),
    Route("POST", f"{_FEATURES}/{{id}}", _update, shape({**_FIELDS, "active": Flag()})),
    Route("GET", _ACTIVE, _list_active, shape({**LIST, "customer": Text()}, "customer")),
    Route("GET", f"{_ACTIVE}/{{id}}", _retrieve_active, shape()),
    Route("POST", _OF_PRODUCTS, _attach, shape({"entitlement_feature": Text()}, "entitlement_feature")),
    Route("GET", _OF_PRODUCTS, _list_attached, shape(LIST)),
    Route("GET", "/v1/products/{product}/features/{id}", _retrieve_attached, shape()),
    Route("DELETE", "/v1/products/{product}/features/{id}", _detach, shape()),
)
