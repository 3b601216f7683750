"""What an organization is entitled to: a pure function of (catalog, record, now).

Contributions (plan versions of live subscription items, or the default plan) are merged feature by feature, then
overrides apply. Everything that can be true only for a time has a window, so the answer says until when it
holds, and transitions happen on time with nobody asked. The order of subscriptions, items and overrides never
matters. docs/entitlements.md says the rules in full, and tests/conformance holds them.

A host resolves an organization whenever it changed, with requests waiting; so values are computed first, and
reasons only for those who ask.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Final

import msgspec

from flux_middleware.catalog import Catalog, Feature, FeatureValue, Granted
from flux_middleware.chain import Chain
from flux_middleware.contributions import (
    Contribution,
    ReasonKind,
    Verdict,
    contributions,
    default_contribution,
)
from flux_middleware.periods import limit_period
from flux_middleware.reasons import Reason, amount, contribution_reason, override_reason
from flux_middleware.snapshot import OrganizationRecord, Override

__all__ = ["Entitlement", "Entitlements", "Reason", "ReasonKind", "Verdict", "explain", "resolve"]


class Entitlement(msgspec.Struct, frozen=True, dict=True):
    """A feature's value for an organization, until when it surely stands, and why.

    A metered limit also has its `enforcement` (`hard` or `soft`) and the `period` that its usage counts in, as
    (first second, first second after it).
    """

    feature: str
    value: FeatureValue
    until: float
    enforcement: str
    period: tuple[int, float] | None
    chain: Chain

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """What was considered, and what became of it."""
        return self.chain.reasons()


class Entitlements(msgspec.Struct, frozen=True):
    """An organization's entitlements by feature; a feature that nothing in force mentions is absent.

    `until` is the next moment (epoch seconds) at which any of them may change by itself.
    """

    by_feature: dict[str, Entitlement]
    until: float


def resolve(catalog: Catalog, record: OrganizationRecord, now: float) -> Entitlements:
    """Return what the organization is entitled to at `now` (epoch seconds), with reasons.

    Between `now` and the answer's `until`, the same catalog and record give the same values.
    """
    drafts, until = _drafts(catalog, _considered(catalog, record, now), record, now)
    by_feature = {}
    for key, draft in drafts.items():
        if draft.parts or draft.overrides:
            by_feature[key] = entitlement = _entitlement(catalog.grantable[key], draft, record, now)
            if entitlement.until < until:
                until = entitlement.until
    return Entitlements(by_feature, until)


def explain(catalog: Catalog, record: OrganizationRecord, now: float) -> Entitlements:
    """Return what `resolve` does, for every feature there is, with reasons also for what is not in force.

    It takes its time: it is for people who wonder, not for checks.
    """
    considered = _considered(catalog, record, now)
    drafts, _ = _drafts(catalog, considered, record, now)
    by_feature = {}
    for key, feature in catalog.grantable.items():
        also = tuple(_not_in_force(catalog, feature, considered, record, now))
        by_feature[key] = _entitlement(feature, drafts.get(key, _Draft()), record, now, also)
    return Entitlements(by_feature, resolve(catalog, record, now).until)


class _Draft:
    """What is in force for a feature, and the next moment at which that changes."""

    __slots__ = ("overrides", "parts", "until")

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.overrides: list[Override] = []
        self.until = math.inf


_Part = tuple[Contribution, Granted]


def _considered(catalog: Catalog, record: OrganizationRecord, now: float) -> list[Contribution]:
    considered = contributions(catalog, record, now)
    default = default_contribution(catalog, considered, now)
    if default is not None:
        considered.append(default)
    return considered


def _drafts(
    catalog: Catalog, considered: list[Contribution], record: OrganizationRecord, now: float
) -> tuple[dict[str, _Draft], float]:
    """Sort what is in force by feature; return it with the next moment at which any of it changes."""
    drafts: defaultdict[str, _Draft] = defaultdict(_Draft)
    granted_by_version = catalog.granted_by_version
    until = math.inf
    for contribution in considered:
        change = contribution.next_change(now)
        until = min(until, change)
        in_force = contribution.verdict is Verdict.COUNTED
        if contribution.version is not None and (in_force or change < math.inf):
            for granted in granted_by_version[contribution.version.id]:
                draft = drafts[granted.feature]
                if in_force:
                    draft.parts.append((contribution, granted))
                if change < draft.until:
                    draft.until = change
    for override in sorted(record.overrides, key=_by_effect_and_id):
        verdict, change = _standing(catalog, override, now)
        until = min(until, change)
        if verdict in (Verdict.COUNTED, Verdict.UPCOMING):
            draft = drafts[override.feature]
            draft.until = min(draft.until, change)
            if verdict is Verdict.COUNTED:
                draft.overrides.append(override)
    return drafts, until


_EFFECTS: Final = {"set": 0, "add": 1, "deny": 2}


def _by_effect_and_id(override: Override) -> tuple[int, str]:
    return _EFFECTS.get(override.effect, len(_EFFECTS)), override.id


def _standing(catalog: Catalog, override: Override, now: float) -> tuple[Verdict, float]:
    """Return whether the override is in force, and when it begins or ends to be."""
    if override.effect not in _EFFECTS or override.feature not in catalog.grantable:
        return Verdict.UNKNOWN_EFFECT, math.inf
    if override.until is not None and override.until <= max(now, override.since or now):
        return Verdict.EXPIRED, math.inf
    if override.since is not None and override.since > now:
        return Verdict.UPCOMING, override.since
    return Verdict.COUNTED, math.inf if override.until is None else override.until


def _not_in_force(
    catalog: Catalog, feature: Feature, considered: list[Contribution], record: OrganizationRecord, now: float
) -> Iterator[Reason]:
    for contribution in considered:
        if contribution.version is None:  # it might have granted this; whoever wonders should hear of it
            yield contribution_reason(contribution, feature.fit(0), contribution.verdict)
        elif contribution.verdict is not Verdict.COUNTED:
            for granted in catalog.granted_by_version[contribution.version.id]:
                if granted.feature == feature.key:
                    value = amount(contribution, granted)
                    yield contribution_reason(contribution, value, contribution.verdict)
    for override in sorted(record.overrides, key=_by_effect_and_id):
        verdict, _ = _standing(catalog, override, now)
        if override.feature == feature.key and verdict is not Verdict.COUNTED:
            yield override_reason(feature, override, verdict)


def _entitlement(
    feature: Feature, draft: _Draft, record: OrganizationRecord, now: float, also: tuple[Reason, ...] = ()
) -> Entitlement:
    chain = Chain(feature, tuple(draft.parts), tuple(draft.overrides), also)
    until, enforcement, period = draft.until, "", None
    if feature.kind == "limit" and feature.metric is not None:
        enforcement = chain.enforcement()
        period = limit_period(record, feature.reset, now)
        until = min(until, period[1])
    return Entitlement(feature.key, chain.value(), until, enforcement, period, chain)
