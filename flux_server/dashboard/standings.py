"""How an organization stands or stood: a row for each feature, with its value and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flux_middleware.entitlements import Entitlement, explain
from flux_middleware.snapshot import Feature
from flux_server.dashboard.reasons import Line, lines_of
from flux_server.organizations.past import Standing

__all__ = ["Row", "rows_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """A feature with its value for the organization, and why; of a metered limit of today also how much is used."""

    feature: Feature
    entitlement: Entitlement
    until: float | None
    lines: list[Line]
    used: int | None = None


def rows_of(standing: Standing) -> list[Row]:
    """Return a row for each feature that there was, in the order of their keys."""
    explained = explain(standing.catalog, standing.record, standing.moment).by_feature
    return [
        Row(
            feature=standing.catalog.feature_by_key[key],
            entitlement=entitlement,
            until=None if entitlement.until == math.inf else entitlement.until,
            lines=lines_of(entitlement),
        )
        for key, entitlement in sorted(explained.items())
    ]
