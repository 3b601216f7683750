"""Decides whether a request may pass, and what a refusal looks like; every adapter says only how to send it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Decision", "DecisionReason"]


class DecisionReason(StrEnum):
    """Why a decision fell as it did."""

    ENTITLED = "entitled"
    NOT_ENTITLED = "not_entitled"
    UNKNOWN_FEATURE = "unknown_feature"
    NO_ORGANIZATION = "no_organization"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an organization may use a feature, and why; `revision` is the snapshot it was decided on."""

    allowed: bool
    feature: str
    organization: str | None
    reason: DecisionReason
    revision: int | None = None
