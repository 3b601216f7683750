"""Which values fit a feature: said once, for plans and overrides alike; and the words the catalog knows."""

from __future__ import annotations

from typing import Final

from flux_middleware.catalog import MAX_NUMBER
from flux_middleware.snapshot import Feature, WireValue

__all__ = [
    "AGGREGATIONS",
    "ENFORCEMENTS",
    "KINDS",
    "LIMIT_MERGES",
    "PLAN_KINDS",
    "RESETS",
    "misfit",
]

KINDS: Final = ("boolean", "limit")
LIMIT_MERGES: Final = ("base_plus_addons", "sum", "max", "min")
RESETS: Final = ("billing", "day", "week", "month", "year", "never")
ENFORCEMENTS: Final = ("hard", "soft")
AGGREGATIONS: Final = ("sum",)
PLAN_KINDS: Final = ("base", "addon")


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
