"""Why an entitlement is what it is: one reason for each contribution and override that was considered."""

from __future__ import annotations

import math

import msgspec

from flux_middleware.catalog import MAX_NUMBER, Feature, FeatureValue, Granted
from flux_middleware.contributions import Contribution, ReasonKind, Verdict
from flux_middleware.snapshot import Override

__all__ = [
    "Reason",
    "ReasonKind",
    "Verdict",
    "amount",
    "contribution_reason",
    "override_reason",
    "override_value",
]


class Reason(msgspec.Struct, frozen=True):
    """One link of the chain that led to a value: what contributed it, how much, from when until when, and its verdict.

    Times are epoch seconds; of something that is over, `until` is when it ended.
    """

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
    since: float = -math.inf
    verdict: Verdict = Verdict.COUNTED
    unknown_status: str = ""


def amount(contribution: Contribution, granted: Granted) -> FeatureValue:
    """Return how much of a feature the contribution gives."""
    if granted.per_unit:
        return int(min(granted.value * contribution.units, MAX_NUMBER))
    return granted.value


def override_value(feature: Feature, override: Override) -> FeatureValue:
    """Return the value that the override sets or adds; a capability that is named without one is granted."""
    if override.effect == "deny":
        return feature.fit(0)
    return feature.fit(feature.kind == "boolean" if override.value is None else override.value)


def contribution_reason(contribution: Contribution, value: FeatureValue, verdict: Verdict) -> Reason:
    """Return the reason that a contribution of `value` is."""
    version, subscription, item = contribution.version, contribution.subscription, contribution.item
    return Reason(
        kind=contribution.kind,
        value=value,
        until=contribution.until,
        plan_version=version.id if version else item.plan_version if item else "",
        subscription=subscription.id if subscription else "",
        status=subscription.status if subscription else "",
        item=item.id if item else "",
        price=item.price if item else "",
        since=contribution.since,
        verdict=verdict,
        unknown_status=subscription.unknown_status if subscription else "",
    )


def override_reason(feature: Feature, override: Override, verdict: Verdict) -> Reason:
    """Return the reason that an override is."""
    return Reason(
        kind=ReasonKind.OVERRIDE,
        value=override_value(feature, override),
        until=math.inf if override.until is None else override.until,
        override=override.id,
        effect=override.effect,
        author=override.author,
        note=override.reason,
        since=-math.inf if override.since is None else override.since,
        verdict=verdict,
    )
