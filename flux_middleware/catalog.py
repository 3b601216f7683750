"""What an environment sells: features, metrics, plan versions and the rules that hold for all its organizations."""

from __future__ import annotations

from functools import cached_property
from typing import Final, Literal

import msgspec

from flux_middleware.wire import WireStruct

__all__ = [
    "MAX_NUMBER",
    "UNLIMITED",
    "Catalog",
    "Feature",
    "FeatureValue",
    "Grant",
    "Granted",
    "Metric",
    "PlanVersion",
    "StatusPolicy",
    "Unlimited",
    "WireValue",
    "feature_value",
    "plan_version_id",
    "wire_value",
]

MAX_NUMBER: Final = 2**53 - 1
"""The largest number that every JSON reader keeps exactly; what would be more is this."""


class Unlimited(float):
    """The number no usage reaches; compares, adds and formats as infinity."""

    def __new__(cls) -> Unlimited:
        return super().__new__(cls, "inf")

    def __repr__(self) -> str:
        return "UNLIMITED"

    def __reduce__(self) -> str:
        return "UNLIMITED"


UNLIMITED: Final = Unlimited()

WireValue = bool | int | Literal["unlimited"]
FeatureValue = bool | int | Unlimited


def feature_value(value: WireValue) -> FeatureValue:
    """Return the value as applications see it."""
    return UNLIMITED if isinstance(value, str) else value


def wire_value(value: FeatureValue) -> WireValue:
    """Return the value as it crosses the network."""
    return "unlimited" if isinstance(value, Unlimited) else value


class Feature(WireStruct, frozen=True):
    """A named capability (`boolean`) or number (`limit`) that plans can grant.

    `merge` says how several live contributions combine: booleans `any`; limits `sum`, `max`, `min` or
    `base_plus_addons` (the largest base plan's number plus every add-on's). A limit that names a `metric` is
    used up by that metric's usage, starts afresh every `reset` (`billing`, `day`, `week`, `month`, `year` or
    `never`), and stops at its end (`enforcement` is `hard`) or lets more be used and billed (`soft`).
    """

    key: str
    kind: str
    name: str = ""
    merge: str = "base_plus_addons"
    metric: str | None = None
    reset: str = "billing"
    enforcement: str = "hard"

    def fit(self, value: WireValue) -> FeatureValue:
        """Return the value as one of this feature's; what is no number is no units of a limit."""
        if self.kind == "boolean":
            return value == "unlimited" or (not isinstance(value, str) and value > 0)
        if isinstance(value, str):
            return UNLIMITED
        return 0 if isinstance(value, bool) else max(-MAX_NUMBER, min(value, MAX_NUMBER))


class Metric(WireStruct, frozen=True):
    """Something that is counted, and how its counts combine over time."""

    key: str
    name: str = ""
    unit: str = ""
    aggregation: str = "sum"


class Grant(WireStruct, frozen=True):
    """One feature's value in a plan version; `per_unit` numbers are multiplied by the item's quantity.

    `enforcement` is this plan's way with a metered limit; empty for the feature's.
    """

    feature: str
    value: WireValue
    per_unit: bool = False
    enforcement: str = ""


class PlanVersion(WireStruct, frozen=True):
    """What one published version of a plan grants. Never changes, except to say which version replaced it.

    Its `kind` is `base` or `addon`: only a base plan takes the place of the default plan.
    """

    id: str
    plan: str
    version: int
    kind: str = "base"
    grants: tuple[Grant, ...] = ()
    replaced_by: str | None = None


def plan_version_id(plan: str, version: int) -> str:
    """Return the id that records use for a plan version: `pro@2`."""
    return f"{plan}@{version}"


class StatusPolicy(WireStruct, frozen=True):
    """What a subscription's status gives, and for how long; seconds.

    `leeway` keeps access after a period or trial ends, while its renewal is on the way; `grace` after a payment
    first failed. `statuses` says for `trialing`, `past_due`, `unpaid`, `incomplete` and `paused` whether they
    `grant`, grant for the `grace`, or `revoke`; those it leaves out do as they do by default. While the
    processor collects nothing, `pause_collection` is to `grant`, or, if what would be due is waived, to grant
    `until_period_end`.
    """

    leeway: int = 3 * 86_400
    grace: int = 7 * 86_400
    statuses: dict[str, str] = msgspec.field(default_factory=dict)
    pause_collection: str = "grant"


class Granted(msgspec.Struct, frozen=True):
    """A grant read once for all records: of a feature that the catalog has, with a value that fits it."""

    feature: str
    value: FeatureValue
    per_unit: bool
    enforcement: str


class Catalog(WireStruct, frozen=True, dict=True):
    """Everything an environment sells, and the rules that are the same for all its organizations.

    `plan_policies` holds, by plan, what takes the place of `policy` for that plan's subscribers.
    """

    features: tuple[Feature, ...] = ()
    metrics: tuple[Metric, ...] = ()
    plan_versions: tuple[PlanVersion, ...] = ()
    default_plan: str | None = None
    policy: StatusPolicy = StatusPolicy()
    plan_policies: dict[str, StatusPolicy] = msgspec.field(default_factory=dict)

    @cached_property
    def feature_by_key(self) -> dict[str, Feature]:
        return {feature.key: feature for feature in self.features}

    @cached_property
    def metric_by_key(self) -> dict[str, Metric]:
        return {metric.key: metric for metric in self.metrics}

    @cached_property
    def plan_version_by_id(self) -> dict[str, PlanVersion]:
        return {version.id: version for version in self.plan_versions}

    @cached_property
    def grantable(self) -> dict[str, Feature]:
        """The features of a kind that is known here, by key; nobody is entitled to any other."""
        return {key: each for key, each in self.feature_by_key.items() if each.kind in ("boolean", "limit")}

    @cached_property
    def granted_by_version(self) -> dict[str, tuple[Granted, ...]]:
        """What each plan version grants of the features there are."""
        return {
            version.id: tuple(
                _granted(self.grantable[grant.feature], grant)
                for grant in version.grants
                if grant.feature in self.grantable
            )
            for version in self.plan_version_by_id.values()
        }

    def effective_version(self, plan_version: str) -> PlanVersion | None:
        """Follow `replaced_by` to the version in force; None if the catalog has no such version.

        Replacements that lead nowhere, or in a circle, are not followed.
        """
        named = self.plan_version_by_id.get(plan_version)
        if named is None or named.replaced_by is None:
            return named
        version: PlanVersion | None = named
        steps = 0
        while version and version.replaced_by and version.replaced_by in self.plan_version_by_id:
            version = self.plan_version_by_id[version.replaced_by]
            steps += 1
            if steps > len(self.plan_versions):
                return named
        return version


def _granted(feature: Feature, grant: Grant) -> Granted:
    value = feature.fit(grant.value)
    if not isinstance(value, bool):
        value = max(value, 0)
    return Granted(
        feature=feature.key,
        value=value,
        per_unit=grant.per_unit and not isinstance(value, bool) and value is not UNLIMITED,
        enforcement=grant.enforcement or feature.enforcement,
    )
