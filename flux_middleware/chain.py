"""How everything in force for one feature becomes one value: merge, then overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from flux_middleware.catalog import MAX_NUMBER, UNLIMITED, Feature, FeatureValue, Granted
from flux_middleware.contributions import Contribution, Verdict
from flux_middleware.reasons import Reason, amount, contribution_reason, override_reason, override_value
from flux_middleware.snapshot import Override

__all__ = ["Chain"]


class Chain(msgspec.Struct, frozen=True):
    """What is in force for a feature: contributions by id, overrides by effect (`set`, `add`, `deny`) and id.

    `also` are reasons for what is not in force.
    """

    feature: Feature
    parts: tuple[tuple[Contribution, Granted], ...]
    overrides: tuple[Override, ...] = ()
    also: tuple[Reason, ...] = ()

    def value(self) -> FeatureValue:
        """Return the feature's value."""
        merged = self._merged()
        return self._overridden(merged) if self.overrides else merged

    def enforcement(self) -> str:
        """Return whether a metered limit is `hard` or `soft`: as soft as what is in force allows.

        Overrides that say so decide, whatever the plans say; a denial leaves nothing to be soft about.
        """
        said = [override.enforcement for override in self.overrides if override.enforcement]
        if not said:
            said = [granted.enforcement for _, granted in self.parts] or [self.feature.enforcement]
        return "soft" if "soft" in said and not self._is_denied else "hard"

    def reasons(self) -> tuple[Reason, ...]:
        """Return a reason for everything in force, and those for what is not."""
        contributed = [
            contribution_reason(contribution, amount(contribution, granted), verdict)
            for (contribution, granted), verdict in zip(self.parts, self._part_verdicts(), strict=True)
        ]
        overridden = [
            override_reason(self.feature, override, self._override_verdict(override))
            for override in self.overrides
        ]
        return (*contributed, *overridden, *self.also)

    def _merged(self) -> FeatureValue:
        if self.feature.kind == "boolean":
            return any(granted.value for _, granted in self.parts)
        amounts = self._amounts()
        if UNLIMITED in amounts:
            return UNLIMITED
        merge = _MERGES.get(self.feature.merge)
        return min(merge(amounts) if merge and amounts else self._base_plus_addons(amounts), MAX_NUMBER)

    def _amounts(self) -> list[FeatureValue]:
        return [
            amount(contribution, granted) if granted.per_unit else granted.value
            for contribution, granted in self.parts
        ]

    def _base_plus_addons(self, amounts: list[FeatureValue]) -> FeatureValue:
        base = addons = 0
        for (contribution, _), number in zip(self.parts, amounts, strict=True):
            if not contribution.is_base:
                addons += int(number)
            elif number > base:
                base = int(number)
        return base + addons

    def _overridden(self, merged: FeatureValue) -> FeatureValue:
        value: float = merged
        is_set = False
        for override in self.overrides:  # those that set, then those that add
            if override.effect == "deny":
                return self.feature.fit(0)
            number = override_value(self.feature, override)
            if override.effect == "add":
                value += number
            elif not is_set or number > value:
                # Of several that set, the most generous holds, so that their order cannot matter.
                value, is_set = number, True
        if self.feature.kind == "boolean":
            return value > 0
        return UNLIMITED if value == UNLIMITED else int(max(0, min(value, MAX_NUMBER)))

    @property
    def _is_denied(self) -> bool:
        return any(override.effect == "deny" for override in self.overrides)

    def _override_values(self, effect: str) -> list[FeatureValue]:
        return [
            override_value(self.feature, override) for override in self.overrides if override.effect == effect
        ]

    def _part_verdicts(self) -> list[Verdict]:
        if self._is_denied:
            return [Verdict.DENIED] * len(self.parts)
        if self._override_values("set"):
            return [Verdict.SUPERSEDED] * len(self.parts)
        merged = self._merged()
        otherwise = Verdict.ABSORBED if merged == UNLIMITED else Verdict.OUTDONE
        amounts = self._amounts()
        if merged != UNLIMITED and self.feature.kind == "limit" and self.feature.merge not in ("max", "min"):
            if self.feature.merge == "sum":
                return [Verdict.COUNTED] * len(self.parts)
            bases = [number for (each, _), number in zip(self.parts, amounts, strict=True) if each.is_base]
            best = max(bases, default=0)
            return [
                Verdict.COUNTED if number == best or not each.is_base else otherwise
                for (each, _), number in zip(self.parts, amounts, strict=True)
            ]
        return [Verdict.COUNTED if number == merged else otherwise for number in amounts]

    def _override_verdict(self, override: Override) -> Verdict:
        if override.effect == "deny":
            return Verdict.COUNTED
        if self._is_denied:
            return Verdict.DENIED
        sets, value = self._override_values("set"), override_value(self.feature, override)
        if override.effect == "set":
            return Verdict.COUNTED if value == max(sets) else Verdict.OUTDONE
        added_to = max(sets) if sets else self._merged()
        return Verdict.ABSORBED if added_to == UNLIMITED and value != UNLIMITED else Verdict.COUNTED


_MERGES: Final[dict[str, Callable[[Iterable[FeatureValue]], FeatureValue]]] = {
    "max": max,
    "min": min,
    "sum": sum,
}
