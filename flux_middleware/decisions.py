"""Decisions: whether an organization may use a feature, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flux_middleware.catalog import FeatureValue, Unlimited

__all__ = ["Decision", "DecisionReason"]


class DecisionReason(StrEnum):
    """Why a decision fell as it did."""

    ENTITLED = "entitled"
    NOT_ENTITLED = "not_entitled"
    LIMIT_REACHED = "limit_reached"
    UNKNOWN_FEATURE = "unknown_feature"
    NO_ORGANIZATION = "no_organization"
    UNAVAILABLE = "unavailable"
    FALLBACK = "fallback"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an organization may use a feature, and why; `revision` is the snapshot it was decided on.

    One about a quantity also has the `limit` and how much of it is `used`, as far as that is known.
    """

    allowed: bool
    feature: str
    organization: str | None
    reason: DecisionReason
    revision: int | None = None
    limit: FeatureValue | None = None
    used: int | None = None

    @property
    def remaining(self) -> FeatureValue | None:
        """Return how much the organization has left of the limit; None if the decision was about no quantity."""
        if self.limit is None or isinstance(self.limit, Unlimited):
            return self.limit
        return max(0, self.limit - (self.used or 0))

    def __bool__(self) -> bool:
        # Any other object is true: `if check(…):` would let everybody pass.
        return self.allowed
