"""What applying a catalog document changes, in a stable order that reads like the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec.structs import FieldInfo

from flux_middleware.snapshot import Feature, Metric
from flux_server.catalog.document import (
    DEFAULT_MERGE,
    CatalogDocument,
    Entry,
    FeatureEntry,
    PlanEntry,
    PolicyEntry,
    PriceEntry,
    price_id,
)
from flux_server.catalog.document_changes import Change, FieldChange
from flux_server.catalog.document_entries import grants_of, same_grants
from flux_server.catalog.document_state import document_of, publishes
from flux_server.catalog.plans import next_version
from flux_server.catalog.reading import Described, Plan
from flux_server.catalog.state import CatalogState

__all__ = ["differences"]


def differences(state: CatalogState, document: CatalogDocument) -> tuple[Change, ...]:
    """Return what has to change for the document to be what is live: nothing if it is."""
    present = document_of(state, archived=True)
    return (
        *_of_section("metric", state.metrics, present.metrics, document.metrics),
        *_of_section("feature", state.features, present.features, document.features),
        *_of_plans(state, present, document),
        *_of_settings(present, document),
    )


def _of_section(
    of: Literal["metric", "feature"],
    stored: Mapping[str, Described[Metric] | Described[Feature]],
    present: Mapping[str, Entry],
    named: Mapping[str, Entry],
) -> Iterator[Change]:
    for key in sorted(present.keys() | named.keys()):
        archived = key in stored and stored[key].archived_at is not None
        yield from _of_entry(of, key, present.get(key), named.get(key), archived=archived)


def _of_plans(state: CatalogState, present: CatalogDocument, document: CatalogDocument) -> Iterator[Change]:
    sold = {price_id(price) for entry in document.plans.values() for price in entry.prices}
    for key in sorted(present.plans.keys() | document.plans.keys()):
        before, after, plan = present.plans.get(key), document.plans.get(key), state.plans.get(key)
        archived = plan is not None and plan.archived_at is not None
        if after is None:
            assert before is not None
            kept = tuple(price for price in before.prices if price_id(price) not in sold)
            moved = tuple(_changed_fields(before, msgspec.structs.replace(before, prices=kept)))
            if moved:
                yield Change("change", "plan", key, moved)
        yield from _of_entry("plan", key, before, after, archived=archived)
        if after is not None and publishes(after, plan):
            yield _publication(key, before, after, plan, is_default=document.default_plan == key)


def _of_settings(present: CatalogDocument, document: CatalogDocument) -> Iterator[Change]:
    if present.default_plan != document.default_plan:
        field = FieldChange(("default_plan",), present.default_plan, document.default_plan)
        yield Change("change", "default_plan", "", (field,))
    fields = tuple(_changed_fields(present.policy or PolicyEntry(), document.policy or PolicyEntry()))
    if fields:
        yield Change("change", "policy", "", fields)


def _of_entry(
    of: Literal["metric", "feature", "plan"],
    key: str,
    before: Entry | None,
    after: Entry | None,
    *,
    archived: bool,
) -> Iterator[Change]:
    if after is None:
        if not archived:
            yield Change("archive", of, key)
        return
    fields = tuple(_changed_fields(before, after))
    if before is None:
        yield Change("add", of, key, fields)
        return
    if archived:
        yield Change("restore", of, key)
    if fields:
        yield Change("change", of, key, fields)


def _publication(
    key: str, before: PlanEntry | None, after: PlanEntry, plan: Plan | None, *, is_default: bool
) -> Change:
    granted = before.entitlements if before and before.published else {}
    draft = plan.draft if plan else None
    return Change(
        "publish",
        "plan",
        key,
        tuple(_changed_members("entitlements", granted, after.entitlements)),
        next_version(plan),
        is_default=is_default,
        replaces_draft=draft is not None and not same_grants(draft, grants_of(after)),
    )


def _changed_fields(before: Entry | None, after: Entry) -> Iterator[FieldChange]:
    for field in _fields(type(after)):
        had = _value(before, field)
        has = getattr(after, field.name)
        if field.name == "prices":
            yield from _changed_members("prices", _by_id(had), _by_id(has))
        elif field.name == "entitlements":
            if isinstance(after, PlanEntry) and not after.published:
                yield from _changed_members("entitlements", had, has)
        elif field.name == "published":
            if before is None and not has:
                yield FieldChange(("published",), None, has)
        elif had != has:
            yield FieldChange((field.name,), _shown(before, field.name), _shown(after, field.name))


@cache
def _fields(kind: type[Entry]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _value(before: Entry | None, field: FieldInfo) -> Any:
    """Return what the field was; of something new, what a document may leave out."""
    if before is not None:
        return getattr(before, field.name)
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.required else field.default


def _shown(entry: Entry | None, name: str) -> Any:
    if entry is None:
        return None
    if name == "merge" and isinstance(entry, FeatureEntry):
        return entry.merge or DEFAULT_MERGE[entry.kind]
    return getattr(entry, name)


def _by_id(prices: tuple[str | PriceEntry, ...]) -> dict[str, str | PriceEntry]:
    return {price_id(price): price for price in prices}


def _changed_members(
    name: str, before: Mapping[str, object], after: Mapping[str, object]
) -> Iterator[FieldChange]:
    for key in sorted(before.keys() | after.keys()):
        had, has = before.get(key), after.get(key)
        if had != has or type(had) is not type(has):  # True == 1
            yield FieldChange((name, key), had, has)
