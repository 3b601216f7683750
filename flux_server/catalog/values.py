"""Which values fit a feature: said once, for plans and overrides alike."""

from __future__ import annotations

from flux_middleware.snapshot import Feature, WireValue

__all__ = ["MAX_NUMBER", "misfit"]

MAX_NUMBER = 2**53 - 1
"""The largest number that every JSON reader keeps exactly."""


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
