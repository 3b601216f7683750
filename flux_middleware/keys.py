"""What features, limits and metrics can be called: any text here; what yours are called, where types are checked.

`flux codegen` writes a stub that takes this module's place for mypy and pyright, with the keys of your catalog.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["FeatureKey", "LimitKey", "MetricKey"]

FeatureKey: TypeAlias = str
"""The key of a feature, whether a capability or a limit."""

LimitKey: TypeAlias = str
"""The key of a feature that is a limit."""

MetricKey: TypeAlias = str
"""The key of a metric."""
