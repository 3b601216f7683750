"""A catalog file, such as plans.toml, as the catalog that workers get once the server has applied it.

For what runs without a server: tests, and types made of keys. docs/plans.md describes the file; the server refuses
more than is refused here.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from flux_middleware.catalog import (
    Catalog,
    Feature,
    Grant,
    Metric,
    PlanVersion,
    StatusPolicy,
    WireValue,
    plan_version_id,
)
from flux_middleware.errors import ConfigurationError

__all__ = ["read_plans_file"]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Policy(_Table, frozen=True):
    leeway: int = StatusPolicy().leeway
    grace: int = StatusPolicy().grace
    statuses: dict[str, str] = {}
    pause_collection: str = StatusPolicy().pause_collection

    def value(self) -> StatusPolicy:
        return StatusPolicy(**msgspec.structs.asdict(self))


class _Metric(_Table, frozen=True):
    name: str = ""
    description: str = ""
    unit: str = ""
    aggregation: str = "sum"

    def value(self, key: str) -> Metric:
        return Metric(key, self.name, self.unit, self.aggregation)


class _Feature(_Table, frozen=True):
    kind: Literal["boolean", "limit"]
    name: str = ""
    description: str = ""
    merge: str | None = None
    metric: str | None = None
    reset: str = "billing"
    enforcement: str = "hard"

    def value(self, key: str) -> Feature:
        merge = self.merge or ("any" if self.kind == "boolean" else "base_plus_addons")
        return Feature(key, self.kind, self.name, merge, self.metric, self.reset, self.enforcement)


class _Entitlement(_Table, frozen=True):
    value: WireValue
    per_unit: bool = False
    enforcement: str | None = None

    def grant(self, feature: str) -> Grant:
        return Grant(feature, self.value, self.per_unit, self.enforcement or "")


class _Plan(_Table, frozen=True):
    name: str = ""
    description: str = ""
    kind: str = "base"
    prices: list[Any] = []
    published: bool = True
    policy: _Policy | None = None
    entitlements: dict[str, WireValue | _Entitlement] = {}

    def version(self, key: str) -> PlanVersion:
        grants = tuple(
            (value if isinstance(value, _Entitlement) else _Entitlement(value)).grant(feature)
            for feature, value in sorted(self.entitlements.items())
        )
        return PlanVersion(plan_version_id(key, 1), key, 1, self.kind, grants)


class _File(_Table, frozen=True):
    default_plan: str | None = None
    policy: _Policy = _Policy()
    metrics: dict[str, _Metric] = {}
    features: dict[str, _Feature] = {}
    plans: dict[str, _Plan] = {}


def read_plans_file(path: str | os.PathLike[str]) -> Catalog:
    """Return what the file sells: each published plan in its first version.

    Raises:
        ConfigurationError: there is no such file, or it is no catalog.
    """
    try:
        file = msgspec.convert(tomllib.loads(Path(path).read_text(encoding="utf-8")), _File)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no catalog file: {error}; see docs/plans.md") from error
    plans = dict(sorted(file.plans.items()))
    versions = {key: plan.version(key) for key, plan in plans.items() if plan.published}
    _require_features(path, file, versions)
    return Catalog(
        features=tuple(feature.value(key) for key, feature in sorted(file.features.items())),
        metrics=tuple(metric.value(key) for key, metric in sorted(file.metrics.items())),
        plan_versions=tuple(versions.values()),
        default_plan=versions[file.default_plan].id if file.default_plan in versions else None,
        policy=file.policy.value(),
        plan_policies={key: plan.policy.value() for key, plan in plans.items() if plan.policy is not None},
    )


def _require_features(path: str | os.PathLike[str], file: _File, versions: dict[str, PlanVersion]) -> None:
    for version in versions.values():
        for grant in version.grants:
            if grant.feature not in file.features:
                raise ConfigurationError(
                    f"{path}: plan {version.plan} grants {grant.feature!r}, which is not among the [features]"
                )
