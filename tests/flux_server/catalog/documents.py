"""Catalog documents to test with: a shop's, random ones, and what a list of changes makes of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from flux_middleware.snapshot import StatusPolicy
from flux_server.catalog.document import CatalogDocument, document_json
from flux_server.catalog.document_changes import Change
from flux_server.catalog.document_reading import read_document
from flux_server.catalog.document_state import document_of
from flux_server.catalog.state import CatalogState

__all__ = ["EMPTY", "SHOP", "carried_out", "documents", "edited", "plain", "said"]

EMPTY = CatalogState({}, {}, {}, None, StatusPolicy())

SHOP = read_document(
    {
        "default_plan": "free",
        "metrics": {"api-calls": {"name": "API calls", "unit": "calls"}},
        "features": {
            "sso": {"kind": "boolean"},
            "seats": {"kind": "limit", "merge": "sum"},
            "calls": {"kind": "limit", "metric": "api-calls", "reset": "month"},
        },
        "plans": {
            "free": {"entitlements": {"seats": 1}},
            "pro": {
                "name": "Pro",
                "prices": ["price_month", {"price": "price_calls", "metric": "api-calls"}],
                "entitlements": {
                    "sso": True,
                    "seats": {"value": 5, "per_unit": True},
                    "calls": {"value": 1000, "enforcement": "soft"},
                },
            },
            "pack": {"kind": "addon", "prices": ["price_pack"], "entitlements": {"seats": 10}},
        },
    }
)


def plain(document: CatalogDocument) -> dict[str, Any]:
    """Return the document as JSON has it."""
    data: dict[str, Any] = msgspec.json.decode(document_json(document))
    return data


def edited(document: CatalogDocument, *path: str, to: object = None) -> CatalogDocument:
    """Return the document with another value at the path; without one, with nothing there."""
    data = plain(document)
    *ways, last = path
    at = data
    for step in ways:
        at = at.setdefault(step, {})
    if to is None:
        del at[last]
    else:
        at[last] = to
    return read_document(data)


def said(changes: Iterable[Change]) -> list[str]:
    """Return the changes in short: `publish plan pro`."""
    return [f"{change.action} {change.of} {change.key}".strip() for change in changes]


def carried_out(state: CatalogState, changes: Iterable[Change]) -> CatalogDocument:
    """Do by hand what the changes say; return what is live then."""
    data = {section: {} for section in ("metrics", "features", "plans")} | plain(document_of(state))
    stored = plain(document_of(state, archived=True))
    for change in changes:
        section, key = f"{change.of}s", change.key
        if change.action == "archive":
            del data[section][key]
        elif change.action in ("add", "restore"):
            data[section][key] = {} if change.action == "add" else stored[section][key]
        elif change.action == "publish":
            plan = data[section][key]
            if not plan.pop("published", True):
                plan.pop("entitlements", None)  # nobody had the draft
        at = _place(data, change)
        for field in change.fields:
            _set(at, field.at, msgspec.to_builtins(field.after))
    return read_document(data)


def _place(data: dict[str, Any], change: Change) -> dict[str, Any]:
    if change.of == "default_plan":
        return data
    if change.of == "policy":
        policy: dict[str, Any] = data.setdefault("policy", {})
        return policy
    entry: dict[str, Any] = data[f"{change.of}s"].get(change.key, {})  # of an archived plan, nothing is live
    return entry


def _set(at: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    if path[0] == "prices":
        others = [price for price in at.get("prices", []) if path[1] not in (price, *_values(price))]
        at["prices"] = others if value is None else [*others, value]
    elif len(path) == 2:
        members = at.setdefault(path[0], {})
        members.pop(path[1], None)
        if value is not None:
            members[path[1]] = value
    else:
        at[path[0]] = value


def _values(price: object) -> Iterable[object]:
    return price.values() if isinstance(price, dict) else ()


_METRICS = ("calls", "hits")
_FEATURES = ("sso", "seats", "api.calls", "beta")
_PLANS = ("free", "pro", "pack", "team")
_PRICES = ("price_1", "price_2", "price_3", "price_4", "price_5")

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_policies = st.fixed_dictionaries(
    {},
    optional={
        "leeway": st.integers(0, 1_000),
        "grace": st.integers(0, 1_000),
        "statuses": st.dictionaries(
            st.sampled_from(["paused", "unpaid"]), st.sampled_from(["grant", "grace", "revoke"])
        ),
        "pause_collection": st.sampled_from(["grant", "until_period_end"]),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> CatalogDocument:
    """Any document that does not contradict itself, of few names, so that two of them have much in common."""
    metrics = {key: draw(_metrics) for key in draw(_some(_METRICS))}
    features = {key: draw(_features(sorted(metrics))) for key in draw(_some(_FEATURES))}
    prices = list(_PRICES)
    plans = {key: draw(_plans(features, sorted(metrics), prices)) for key in draw(_some(_PLANS))}
    document: dict[str, Any] = {"metrics": metrics, "features": features, "plans": plans}
    document["policy"] = draw(st.none() | _policies)
    fit = [key for key, plan in plans.items() if plan["published"] and plan["kind"] == "base"]
    document["default_plan"] = draw(st.sampled_from([None, *fit]))
    return read_document(document)


def _some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True)


_metrics = st.fixed_dictionaries({}, optional={"name": _texts, "description": _texts, "unit": _texts})


def _features(metrics: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    texts = {"name": _texts, "description": _texts}
    booleans = st.fixed_dictionaries({"kind": st.just("boolean")}, optional=texts)
    limits = st.fixed_dictionaries(
        {"kind": st.just("limit")},
        optional=texts
        | {
            "merge": st.sampled_from(["base_plus_addons", "sum", "max", "min"]),
            "metric": st.sampled_from(metrics) if metrics else st.none(),
            "reset": st.sampled_from(["billing", "day", "never"]),
            "enforcement": st.sampled_from(["hard", "soft"]),
        },
    )
    return booleans | limits


@st.composite
def _plans(
    draw: st.DrawFn, features: dict[str, Any], metrics: list[str], prices: list[str]
) -> dict[str, Any]:
    mine = [prices.pop() for _ in range(draw(st.integers(0, min(2, len(prices)))))]
    metered = st.sampled_from(metrics) if metrics else st.none()
    return {
        "name": draw(_texts),
        "description": draw(_texts),
        "kind": draw(st.sampled_from(["base", "base", "addon"])),
        "published": draw(st.sampled_from([True, True, False])),
        "prices": [
            price if draw(st.booleans()) else {"price": price, "metric": draw(metered)} for price in mine
        ],
        "policy": draw(st.none() | _policies),
        "entitlements": {key: draw(_entitlements(features[key])) for key in draw(_some(tuple(features)))}
        if features
        else {},
    }


def _entitlements(feature: dict[str, Any]) -> st.SearchStrategy[object]:
    if feature["kind"] == "boolean":
        return st.booleans()
    numbers = st.integers(0, 2**53 - 1) | st.integers(0, 2) | st.just("unlimited")
    enforcements = st.sampled_from(["hard", "soft"]) if feature.get("metric") else st.none()
    tables = st.fixed_dictionaries(
        {"value": numbers}, optional={"per_unit": st.booleans(), "enforcement": enforcements}
    )
    return numbers | tables
