"""What is known of an organization, weighed: for one feature, for so much more of it, for all features at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from flux_middleware.answers import Entitlement
from flux_middleware.cache import Known
from flux_middleware.catalog import Feature, FeatureValue
from flux_middleware.decisions import Decision, DecisionReason
from flux_middleware.entitlements import resolve
from flux_middleware.errors import ConfigurationError, InvalidQuantityError

__all__ = ["Quantity", "Verdict", "all_entitlements", "weigh"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, before anybody asks whose it is."""

    allowed: bool
    reason: DecisionReason
    limit: FeatureValue | None = None
    used: int | None = None

    def decision(self, organization: str, feature: str, revision: int | None) -> Decision:
        """Return it as the answer of a check."""
        return Decision(self.allowed, feature, organization, self.reason, revision, self.limit, self.used)

    def sentence(self, organization: str, feature: str) -> str:
        """Return it in words."""
        answer = "allowed" if self.allowed else "denied"
        return _SENTENCES[self.reason].format(organization=organization, feature=feature, answer=answer)


def weigh(known: Known, feature: str, overdue: bool | None) -> Verdict:
    """Decide whether the feature may be used at all; `overdue` is the answer if what is known is too old."""
    if feature not in known.entitled:
        unknown = known.catalog is not None
        return Verdict(False, DecisionReason.UNKNOWN_FEATURE if unknown else DecisionReason.UNAVAILABLE)
    if overdue is not None:
        return Verdict(overdue, DecisionReason.STALE)
    allowed = known.entitled[feature]
    if known.catalog is None:
        return Verdict(allowed, DecisionReason.FALLBACK)
    return Verdict(allowed, DecisionReason.ENTITLED if allowed else DecisionReason.NOT_ENTITLED)


class Quantity:
    """So much more of a feature.

    Raises:
        InvalidQuantityError: one of the numbers is no whole number of 0 or more.
    """

    def __init__(self, feature: str, quantity: int, used: int | None) -> None:
        for number in (quantity, 0 if used is None else used):
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise InvalidQuantityError(feature, number)
        self._feature = feature
        self._quantity = quantity
        self._used = used

    def weigh(self, known: Known, verdict: Verdict, now: float, count: Callable[[str, str], int]) -> Verdict:
        """Decide whether it fits, too, into what is left of the limit.

        `count` tells the present usage of a metric by an organization.

        Raises:
            ConfigurationError: nobody says how much is used.
        """
        if self._feature not in known.limits:
            return verdict
        limit = known.limits[self._feature].value
        feature = known.catalog.feature_by_key[self._feature] if known.catalog is not None else None
        used = self._used
        if used is None and feature is not None and feature.kind == "limit":
            used = count(known.record.id, _billed_metric(feature))
        verdict = replace(verdict, limit=limit, used=used)
        if not verdict.allowed or verdict.reason is DecisionReason.STALE:
            return verdict
        if (used or 0) + self._quantity <= limit or _is_soft(known, self._feature, now):
            return verdict
        return replace(verdict, allowed=False, reason=_BEYOND[verdict.reason])


_BEYOND: Final = {
    DecisionReason.ENTITLED: DecisionReason.LIMIT_REACHED,
    DecisionReason.FALLBACK: DecisionReason.FALLBACK,
}


def all_entitlements(
    known: Known, now: float, overdue: bool | None, fallbacks: Mapping[str, FeatureValue]
) -> Mapping[str, Entitlement]:
    """Return every feature's value; where nothing is known, those that have a fallback."""
    if known.catalog is None:
        return MappingProxyType({key: Entitlement(key, value, now) for key, value in fallbacks.items()})
    resolved = resolve(known.catalog, known.record, now)
    found = {}
    for feature in known.catalog.features:
        each = resolved.by_feature.get(feature.key)
        value, until = (each.value, each.until) if each else (feature.fit(0), resolved.until)
        if overdue is not None:
            value, until = feature.fit("unlimited" if overdue else 0), now
        found[feature.key] = Entitlement(feature.key, value, until)
    return MappingProxyType(found)


def _billed_metric(feature: Feature) -> str:
    if feature.metric is None:
        raise ConfigurationError(
            f"no metric counts how much of {feature.key!r} is used; pass check(…, used=…), or name its metric in "
            "the catalog"
        )
    if feature.reset != "billing":
        raise ConfigurationError(
            f"{feature.key!r} starts afresh every {feature.reset}, and usage is known by billing period; pass "
            "check(…, used=…)"
        )
    return feature.metric


def _is_soft(known: Known, feature: str, now: float) -> bool:
    """Say whether more than the limit may be used, and is billed."""
    if known.catalog is None:
        return False
    found = resolve(known.catalog, known.record, now).by_feature.get(feature)
    return found is not None and found.enforcement == "soft"


_SENTENCES: Final = {
    DecisionReason.ENTITLED: "{organization} is entitled to {feature}",
    DecisionReason.NOT_ENTITLED: "nothing that is live grants {feature}",
    DecisionReason.UNKNOWN_FEATURE: "the catalog has no feature {feature}",
    DecisionReason.UNAVAILABLE: "denied, for this host has never reached the server",
    DecisionReason.FALLBACK: "{answer} by its fallback, for this host has never reached the server",
    DecisionReason.STALE: "{answer}, for the server was not heard of for too long",
}
