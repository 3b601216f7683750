"""What applications are answered with, and what they may say: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flux_middleware.entitlements import Reason
from flux_middleware.keys import MetricKey
from flux_middleware.snapshot import FeatureValue
from flux_middleware.wording import sentence, until_words, value_words

__all__ = ["Entitlement", "Explanation", "Limit", "Status", "Usage", "UsageEvent"]


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a feature an organization may have: a whole number or UNLIMITED."""

    value: FeatureValue


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A feature's value for an organization, and until when it surely stands (epoch seconds)."""

    feature: str
    value: FeatureValue
    until: float

    @property
    def allowed(self) -> bool:
        """Say whether it is more than nothing, as `is_entitled` does."""
        return self.value > 0


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
    metric: MetricKey
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
        lines = [f"{self.organization}: {self.feature} = {value_words(self.value)}"]
        lines += [f"  {sentence(reason)}" for reason in self.reasons]
        return "\n".join([*lines, f"  so: {self.verdict}{until_words(self.until)}, revision {self.revision}"])


@dataclass(frozen=True, slots=True)
class Status:
    """How this host's client is doing.

    `age` is how many seconds ago the server was last heard of, `refresher` the process that follows it for this host,
    `backlog` how many counters it does not have yet. `conditions` says what is wrong at the moment, by name, as far
    as this process knows, and `problem` which of it stands in the way.
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
    refresher_alive: bool = False
    conditions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
