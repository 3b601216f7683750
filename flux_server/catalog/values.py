"""Which values fit a feature: said once, for plans and overrides alike; and the words the catalog knows."""

from __future__ import annotations

from typing import Final, Literal

from flux_middleware.catalog import MAX_NUMBER
from flux_middleware.snapshot import Feature, Grant, WireValue

__all__ = [
    "AGGREGATIONS",
    "ENFORCEMENTS",
    "KINDS",
    "LIMIT_MERGES",
    "MAX_GRACE",
    "MAX_LEEWAY",
    "MAX_PRICES",
    "PLAN_KINDS",
    "RESETS",
    "Existing",
    "feature_contradiction",
    "grant_misfit",
    "misfit",
]

KINDS: Final = ("boolean", "limit")
LIMIT_MERGES: Final = ("base_plus_addons", "sum", "max", "min")
RESETS: Final = ("billing", "day", "week", "month", "year", "never")
ENFORCEMENTS: Final = ("hard", "soft")
AGGREGATIONS: Final = ("sum",)
PLAN_KINDS: Final = ("base", "addon")

Existing = Literal["stay", "migrate"]
"""What becomes of those who have an earlier version of a plan when another is published."""

MAX_PRICES: Final = 100
"""Prices that one plan may be sold by."""

MAX_LEEWAY: Final = 90 * 86_400
MAX_GRACE: Final = 366 * 86_400


def misfit(feature: Feature, value: WireValue | None, *, negative: bool = False) -> str | None:
    """Say what is wrong with `value` for `feature`, in words that complete "…: "; None if it fits."""
    if feature.kind == "boolean":
        return (
            None
            if isinstance(value, bool)
            else f"{feature.key!r} is boolean: give true or false, not {value!r:.50}"
        )
    if value == "unlimited":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        return f'{feature.key!r} is a limit: give a whole number or "unlimited", not {value!r:.50}'
    if not (-MAX_NUMBER if negative else 0) <= value <= MAX_NUMBER:
        least = f"-{MAX_NUMBER}" if negative else "0"
        return f"{feature.key!r} is a limit: give a number from {least} to {MAX_NUMBER}, not {value}"
    return None


def grant_misfit(feature: Feature, grant: Grant) -> str | None:
    """Say what is wrong with granting the feature like this; None if nothing is."""
    if grant.per_unit and feature.kind == "boolean":
        return f"{grant.feature!r} is boolean, so it cannot be granted per unit"
    if grant.enforcement and feature.metric is None:
        return f"{grant.feature!r} is not used up by a metric, so there is nothing to enforce"
    if grant.enforcement and grant.enforcement not in ENFORCEMENTS:
        return f"{grant.feature!r}: an enforcement is 'hard' or 'soft', not {grant.enforcement!r:.50}"
    return misfit(feature, grant.value)


def feature_contradiction(feature: Feature) -> str | None:
    """Say how the feature contradicts itself; None if it does not."""
    if feature.kind not in KINDS:
        return f"a feature's kind is 'boolean' or 'limit', not {feature.kind!r:.50}"
    if feature.kind == "boolean":
        if feature.metric is not None:
            return f"{feature.key!r} is boolean; only a limit can be used up by a metric"
        return None
    for word, value, known in (
        ("merge", feature.merge, LIMIT_MERGES),
        ("reset", feature.reset, RESETS),
        ("enforcement", feature.enforcement, ENFORCEMENTS),
    ):
        if value not in known:
            return f"{feature.key!r} is a limit; its {word} is one of {', '.join(known)}, not {value!r:.50}"
    return None
