"""Between the entries of a catalog document and the values that the catalog knows."""

from __future__ import annotations

from typing import Any

import msgspec

from flux_middleware.snapshot import Feature, Grant, Metric, StatusPolicy, WireValue
from flux_server.catalog.document import (
    DEFAULT_MERGE,
    EntitlementEntry,
    FeatureEntry,
    MetricEntry,
    PlanEntry,
    PolicyEntry,
    PriceEntry,
    price_id,
)
from flux_server.catalog.reading import Described, Plan, PlanPrice

__all__ = [
    "feature_entry",
    "feature_of",
    "grants_of",
    "live_grants",
    "metric_entry",
    "metric_of",
    "plan_entry",
    "policy_entry",
    "policy_of",
    "prices_of",
    "same_grants",
]


def metric_entry(metric: Described[Metric]) -> MetricEntry:
    """Return the metric as a document has it."""
    return MetricEntry(**_members(metric))


def metric_of(key: str, entry: MetricEntry) -> Described[Metric]:
    """Return the metric that the entry describes."""
    return Described(Metric(key, entry.name, entry.unit, entry.aggregation), entry.description)


def feature_entry(feature: Described[Feature]) -> FeatureEntry:
    """Return the feature as a document has it."""
    return FeatureEntry(**_members(feature))


def feature_of(key: str, entry: FeatureEntry) -> Described[Feature]:
    """Return the feature that the entry describes."""
    feature = Feature(
        key,
        entry.kind,
        entry.name,
        entry.merge or DEFAULT_MERGE[entry.kind],
        entry.metric,
        entry.reset,
        entry.enforcement,
    )
    return Described(feature, entry.description)


def plan_entry(plan: Plan) -> PlanEntry:
    """Return the plan as a document has it."""
    return PlanEntry(
        name=plan.name,
        description=plan.description,
        kind=plan.kind,
        prices=tuple(map(_price_entry, plan.prices)),
        published=bool(plan.versions),
        policy=None if plan.policy is None else policy_entry(plan.policy),
        entitlements={grant.feature: _entitlement(grant) for grant in live_grants(plan)},
    )


def live_grants(plan: Plan) -> tuple[Grant, ...]:
    """Return what the plan grants now, or would once it is published for the first time."""
    return plan.versions[-1].grants if plan.versions else plan.draft or ()


def grants_of(entry: PlanEntry) -> tuple[Grant, ...]:
    """Return what the plan grants, in the order of the features' keys."""
    return tuple(_grant(feature, entry.entitlements[feature]) for feature in sorted(entry.entitlements))


def same_grants(these: tuple[Grant, ...], those: tuple[Grant, ...]) -> bool:
    """Say whether these grants are those; to Python, `true` of a capability equals 1 of a limit."""
    return these == those and msgspec.json.encode(these) == msgspec.json.encode(those)


def prices_of(entry: PlanEntry) -> tuple[PlanPrice, ...]:
    """Return the plan's prices, in the order of their ids."""
    return tuple(
        PlanPrice(price) if isinstance(price, str) else PlanPrice(price.price, price.metric)
        for price in sorted(entry.prices, key=price_id)
    )


def policy_entry(policy: StatusPolicy) -> PolicyEntry:
    """Return the policy as a document has it."""
    return msgspec.convert(policy, PolicyEntry, from_attributes=True)


def policy_of(entry: PolicyEntry) -> StatusPolicy:
    """Return the policy that the entry describes."""
    statuses: dict[str, str] = dict(entry.statuses.items())
    return StatusPolicy(entry.leeway, entry.grace, statuses, entry.pause_collection)


def _members(described: Described[Feature] | Described[Metric]) -> dict[str, Any]:
    members = msgspec.structs.asdict(described.value) | {"description": described.description}
    del members["key"]
    return members


def _price_entry(price: PlanPrice) -> str | PriceEntry:
    return price.price if price.metric is None else PriceEntry(price.price, price.metric)


def _entitlement(grant: Grant) -> WireValue | EntitlementEntry:
    if not grant.per_unit and not grant.enforcement:
        return grant.value
    return EntitlementEntry(grant.value, grant.per_unit, grant.enforcement or None)  # type: ignore[arg-type]  # it was checked


def _grant(feature: str, entitlement: WireValue | EntitlementEntry) -> Grant:
    if not isinstance(entitlement, EntitlementEntry):
        return Grant(feature, entitlement)
    return Grant(feature, entitlement.value, entitlement.per_unit, entitlement.enforcement or "")
