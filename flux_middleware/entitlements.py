"""What an organization is entitled to: a pure function of (catalog, record, now).

Contributions (plan versions of live subscription items, or the default plan) are merged feature by feature, then
overrides apply. Everything that can be true only for a time has a window, so the answer says until when it
holds, and transitions happen on time with nobody asked. The order of subscriptions, items and overrides never
matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flux_middleware.snapshot import (
    UNLIMITED,
    Catalog,
    Feature,
    FeatureValue,
    Grant,
    OrganizationRecord,
    Override,
    PlanVersion,
    StatusPolicy,
    Subscription,
    SubscriptionItem,
    feature_value,
)

__all__ = ["Entitlement", "Entitlements", "Reason", "ReasonKind", "resolve"]


class ReasonKind(StrEnum):
    """Where a part of an entitlement comes from."""

    SUBSCRIPTION = "subscription"
    DEFAULT_PLAN = "default_plan"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class Reason:
    """One link of the chain that led to a value: what contributed it, how much, and until when (epoch seconds)."""

    kind: ReasonKind
    value: FeatureValue
    until: float = math.inf
    plan_version: str = ""
    subscription: str = ""
    status: str = ""
    item: str = ""
    price: str = ""
    override: str = ""
    effect: str = ""
    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A feature's value for an organization, until when it surely stands, and why."""

    feature: str
    value: FeatureValue
    until: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Entitlements:
    """An organization's entitlements by feature; a feature that nothing mentions is absent.

    `until` is the next moment (epoch seconds) at which any of them may change by itself.
    """

    by_feature: dict[str, Entitlement]
    until: float


@dataclass(frozen=True, slots=True)
class _Contribution:
    """A plan version that counts until a moment, `quantity` times."""

    version: PlanVersion
    quantity: int
    until: float
    kind: ReasonKind
    subscription: Subscription | None = None
    item: SubscriptionItem | None = None

    def reason(self, grant: Grant) -> Reason:
        value = feature_value(grant.value)
        if grant.per_unit and not isinstance(value, bool):
            # 0 x unlimited is not a number; no units of anything is nothing.
            value = _number(value * self.quantity if self.quantity else 0)
        return Reason(
            kind=self.kind,
            value=value,
            until=self.until,
            plan_version=self.version.id,
            subscription=self.subscription.id if self.subscription else "",
            status=self.subscription.status if self.subscription else "",
            item=self.item.id if self.item else "",
            price=self.item.price if self.item else "",
        )


def resolve(catalog: Catalog, record: OrganizationRecord, now: float) -> Entitlements:
    """Return what the organization is entitled to at `now` (epoch seconds), with reasons.

    Between `now` and the answer's `until`, the same catalog and record give the same values.
    """
    contributions = list(_subscribed(catalog, record, now))
    overrides = [override for override in record.overrides if now < _moment(override.until)]
    until = min(
        [contribution.until for contribution in contributions]
        + [_moment(override.until) for override in overrides],
        default=math.inf,
    )
    if not any(contribution.version.kind == "base" for contribution in contributions):
        contributions.extend(_default(catalog))
    reasons = _reasons_by_feature(contributions)
    by_feature = {}
    for key in reasons.keys() | {override.feature for override in overrides}:
        feature = catalog.feature_by_key.get(key)
        if feature is not None:
            mine = [override for override in overrides if override.feature == key]
            by_feature[key] = _entitlement(feature, reasons.get(key, []), mine)
    return Entitlements(by_feature, until)


# How long each status grants access; a status that is not here grants none (stripe.md 2.6).
_GRANTED_UNTIL: Final[dict[str, Callable[[Subscription, SubscriptionItem, StatusPolicy], float]]] = {
    "trialing": lambda subscription, item, policy: _moment(subscription.trial_end, policy.leeway),
    "active": lambda subscription, item, policy: _moment(item.period_end, policy.leeway),
    "past_due": lambda subscription, item, policy: _moment(subscription.past_due_since, policy.grace),
    "canceled": lambda subscription, item, policy: _moment(subscription.ended_at or 0),
}


def _moment(time: int | None, later: int = 0) -> float:
    return math.inf if time is None else time + later


def _subscribed(catalog: Catalog, record: OrganizationRecord, now: float) -> Iterator[_Contribution]:
    for subscription in record.subscriptions:
        granted_until = _GRANTED_UNTIL.get(subscription.status)
        if granted_until is None:
            continue
        ends = min(_moment(subscription.cancel_at), _moment(subscription.ended_at))
        for item, version in _granting_items(catalog, subscription):
            until = min(ends, granted_until(subscription, item, catalog.policy))
            if now < until:
                quantity = 1 if item.metered else item.quantity
                yield _Contribution(version, quantity, until, ReasonKind.SUBSCRIPTION, subscription, item)


def _granting_items(
    catalog: Catalog, subscription: Subscription
) -> Iterator[tuple[SubscriptionItem, PlanVersion]]:
    """Match items to the versions in force; a metered item only where no other grants its plan version."""
    granted: set[str] = set()
    for item in sorted(subscription.items, key=lambda item: (item.metered, item.id)):
        version = catalog.effective_version(item.plan_version)
        if version is None or (item.metered and version.id in granted):
            continue
        granted.add(version.id)
        yield item, version


def _default(catalog: Catalog) -> Iterator[_Contribution]:
    if catalog.default_plan is not None:
        version = catalog.effective_version(catalog.default_plan)
        if version is not None:
            yield _Contribution(version, 1, math.inf, ReasonKind.DEFAULT_PLAN)


_TaggedReason = tuple[str, Reason]  # kind of the plan ("base" or "addon"), and what it contributes


def _reasons_by_feature(contributions: Iterable[_Contribution]) -> dict[str, list[_TaggedReason]]:
    reasons: dict[str, list[_TaggedReason]] = {}
    for contribution in contributions:
        for grant in contribution.version.grants:
            tagged = (contribution.version.kind, contribution.reason(grant))
            reasons.setdefault(grant.feature, []).append(tagged)
    for tagged_reasons in reasons.values():
        tagged_reasons.sort(
            key=lambda tagged: (tagged[1].subscription, tagged[1].item, tagged[1].plan_version)
        )
    return reasons


def _entitlement(feature: Feature, tagged: list[_TaggedReason], overrides: list[Override]) -> Entitlement:
    merged = _merge_boolean(tagged) if feature.kind == "boolean" else _merge_limit(feature, tagged)
    ordered = sorted(overrides, key=lambda override: (_OVERRIDE_ORDER[override.effect], override.id))
    value = _apply_overrides(feature, merged, ordered)
    reasons = [reason for _, reason in tagged] + [_override_reason(override) for override in ordered]
    return Entitlement(
        feature=feature.key,
        value=value,
        until=min((reason.until for reason in reasons), default=math.inf),
        reasons=tuple(reasons),
    )


def _merge_boolean(tagged: list[_TaggedReason]) -> bool:
    return any(bool(reason.value) for _, reason in tagged)


def _merge_limit(feature: Feature, tagged: list[_TaggedReason]) -> FeatureValue:
    numbers = [reason.value for _, reason in tagged]
    if not numbers:
        return 0
    if UNLIMITED in numbers:
        return UNLIMITED
    if feature.merge == "max":
        return max(numbers)
    if feature.merge == "min":
        return min(numbers)
    if feature.merge == "sum":
        return _number(sum(numbers))
    base = max((reason.value for kind, reason in tagged if kind == "base"), default=0)
    return _number(base + sum(reason.value for kind, reason in tagged if kind == "addon"))


def _number(value: float) -> FeatureValue:
    return UNLIMITED if value == math.inf else int(value)


_OVERRIDE_ORDER: Final = {"set": 0, "add": 1, "deny": 2}


def _apply_overrides(feature: Feature, merged: FeatureValue, ordered: list[Override]) -> FeatureValue:
    if any(override.effect == "deny" for override in ordered):
        return False if feature.kind == "boolean" else 0
    # Two live `set`s of one feature: the more generous one holds, so that their order cannot matter.
    sets = [_override_value(override) for override in ordered if override.effect == "set"]
    value = max(sets) if sets else merged
    for override in ordered:
        if override.effect == "add":
            added = _override_value(override)
            value = (value or added) if feature.kind == "boolean" else _number(max(0, value + added))
    return bool(value) if feature.kind == "boolean" else value


def _override_value(override: Override) -> FeatureValue:
    return feature_value(override.value) if override.value is not None else True


def _override_reason(override: Override) -> Reason:
    return Reason(
        kind=ReasonKind.OVERRIDE,
        value=False if override.effect == "deny" else _override_value(override),
        until=_moment(override.until),
        override=override.id,
        effect=override.effect,
        author=override.author,
        note=override.reason,
    )
