"""What applications are answered with, and what they may say: frozen values."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from flux_middleware.entitlements import Reason, ReasonKind
from flux_middleware.snapshot import FeatureValue

__all__ = ["Explanation", "Limit", "Status", "Usage", "UsageEvent"]


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a feature an organization may have: a whole number or UNLIMITED."""

    value: FeatureValue


@dataclass(frozen=True, slots=True)
class Usage:
    """What an organization has used of a metric since `period_start` (epoch seconds)."""

    organization: str
    metric: str
    quantity: int
    period_start: int
    period_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """Something an organization used, to be recorded."""

    org_id: str
    metric: str
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an organization is, or is not, entitled to a feature. Prints as a readable chain."""

    organization: str
    feature: str
    allowed: bool
    value: FeatureValue
    until: float
    reasons: tuple[Reason, ...]
    verdict: str
    revision: int | None

    def __str__(self) -> str:
        lines = [f"{self.organization}: {self.feature} = {_worded(self.value)}"]
        lines += [f"  {_link(reason)}" for reason in self.reasons]
        return "\n".join([*lines, f"  so: {self.verdict}{_until(self.until)}, revision {self.revision}"])


@dataclass(frozen=True, slots=True)
class Status:
    """How this host's client is doing.

    `age` is how many seconds ago the server was last heard of, `backlog` how many counters it does not have yet,
    `problem` what stands in the way at the moment, as far as this process knows.
    """

    ready: bool
    environment: str
    url: str
    directory: str
    revision: int | None
    organizations: int
    age: float | None
    refresher: int | None
    is_refresher: bool
    backlog: int
    problem: str | None


def _link(reason: Reason) -> str:
    value = _worded(reason.value)
    if reason.kind is ReasonKind.OVERRIDE:
        by = f" by {reason.author}" if reason.author else ""
        why = f" ({reason.note})" if reason.note else ""
        what = reason.effect if reason.effect == "deny" else f"{reason.effect} {value}"
        return f"override {reason.override}: {what}{by}{why}{_until(reason.until)}"
    if reason.kind is ReasonKind.SUBSCRIPTION:
        what = f"subscription {reason.subscription} ({reason.status}), {reason.plan_version}"
        return f"{what}: {value}{_until(reason.until)}"
    return f"default plan, {reason.plan_version}: {value}"


def _worded(value: FeatureValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unlimited" if value == float("inf") else str(value)


def _until(moment: float) -> str:
    if moment == float("inf"):
        return ""
    return f", until {datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
