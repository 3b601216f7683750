"""What a test says that organizations have: a store that is written to without a server."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from flux_middleware.beacon import CONTACT
from flux_middleware.catalog import (
    Catalog,
    Feature,
    FeatureValue,
    Grant,
    Metric,
    PlanVersion,
    plan_version_id,
    wire_value,
)
from flux_middleware.errors import ConfigurationError
from flux_middleware.memory_store import MemoryStore
from flux_middleware.snapshot import (
    CatalogChanged,
    Change,
    OrganizationChanged,
    OrganizationRecord,
    Override,
    SnapshotHeader,
    Subscription,
    require_key,
    require_organization,
)
from flux_middleware.store import Synced
from flux_middleware.wire import SCHEMA

__all__ = ["Subscriptions", "World"]

Subscriptions = tuple[Subscription, ...]

_EMPTY: Final = Catalog()


class World(MemoryStore):
    """A catalog and organizations; without a catalog of its own, features come to be when they are named."""

    def __init__(self, catalog: Catalog | None, environment: str) -> None:
        super().__init__()
        self._is_open = catalog is None
        self._is_hidden = False
        self.silent_for = 0.0
        self.beacon.words[CONTACT] = 1000  # whenever that was: 0 would be never
        self._changing = threading.RLock()
        self.replace(SnapshotHeader(SCHEMA, environment, "memory", 1, catalog or _EMPTY), {})

    def synced(self) -> Synced | None:
        return None if self._is_hidden else super().synced()

    def catalog(self) -> tuple[int, Catalog | None]:
        generation, catalog = super().catalog()
        return generation, None if self._is_hidden else catalog

    def hide(self, hidden: bool) -> None:
        """Answer as a store that never held anything, or no longer so."""
        self._is_hidden = hidden
        self._advance(None)

    def silence(self, seconds: float) -> None:
        """Have last heard from a server so long ago."""
        self.silent_for = seconds
        self._advance(None)

    def since_contact(self) -> float:
        """Tell the time by a clock that began when a server was last heard of."""
        return self.beacon.words[CONTACT] / 1000 + self.silent_for

    def after_fork(self) -> None:
        super().after_fork()
        self._changing = threading.RLock()

    def declare(self, key: str, value: FeatureValue, metric: str | None = None) -> None:
        """See that the catalog has a feature of this name that can have the value.

        Raises:
            ConfigurationError: it has none.
        """
        kind = "boolean" if isinstance(value, bool) else "limit"
        with self._changing:
            feature = self._sold.feature_by_key.get(key)
            if feature is None:
                self._require_open("feature", key, self._sold.feature_by_key)
                self._add_feature(key, kind, metric)
            elif feature.kind != kind and value is not False:
                raise ConfigurationError(f"{key!r} is a {feature.kind}, and cannot be {value!r}")

    def define_plan(
        self, plan: str, entitlements: Mapping[str, FeatureValue], *, kind: str, is_default: bool
    ) -> None:
        """Put the plan into the catalog, or in place of the one of this name."""
        id_ = plan_version_id(require_key(plan), 1)
        with self._changing:
            for feature, value in entitlements.items():
                self.declare(feature, value)
            grants = tuple(Grant(feature, wire_value(value)) for feature, value in entitlements.items())
            others = [each for each in self._sold.plan_versions if each.plan != plan]
            self._publish(
                replace(
                    self._sold,
                    plan_versions=(*others, PlanVersion(id_, plan, 1, kind, grants)),
                    default_plan=id_ if is_default else self._sold.default_plan,
                )
            )

    def version_of(self, plan: str) -> str:
        """Return the id of the plan's newest version.

        Raises:
            ConfigurationError: there is no such plan.
        """
        newest = {each.plan: each.id for each in self._sold.plan_versions}
        if plan not in newest:
            raise ConfigurationError(f"the catalog has no plan {plan!r}{_nearest(plan, newest)}")
        return newest[plan]

    def record(self, organization: str) -> OrganizationRecord:
        """Return all that there is to know of the organization."""
        _, record = self.organization(require_organization(organization))
        return record or OrganizationRecord(organization)

    def put(self, record: OrganizationRecord) -> None:
        """Let this be all that there is to know of an organization."""
        require_organization(record.id)
        with self._changing:
            revision = self._next_revision
            self._commit(OrganizationChanged(revision, replace(record, revision=revision)))

    def swap_override(self, organization: str, id_: str, override: Override | None) -> Override | None:
        """Put the override in place of the organization's of this id, and return that."""
        with self._changing:
            record = self.record(organization)
            before = next((each for each in record.overrides if each.id == id_), None)
            others = tuple(each for each in record.overrides if each.id != id_)
            self.put(replace(record, overrides=others if override is None else (*others, override)))
            return before

    def swap_subscriptions(
        self, organization: str, change: Callable[[Subscriptions], Subscriptions]
    ) -> Subscriptions:
        """Put what `change` makes of the organization's subscriptions in their place, and return them."""
        with self._changing:
            record = self.record(organization)
            self.put(replace(record, subscriptions=change(record.subscriptions)))
            return record.subscriptions

    @property
    def _sold(self) -> Catalog:
        return super().catalog()[1] or _EMPTY

    @property
    def _next_revision(self) -> int:
        synced = super().synced()
        return 1 if synced is None else synced.revision + 1

    def _require_open(self, what: str, key: str, known: Iterable[str]) -> None:
        if not self._is_open:
            raise ConfigurationError(f"the catalog has no {what} {key!r}{_nearest(key, known)}")

    def _add_feature(self, key: str, kind: str, metric: str | None) -> None:
        merge = "any" if kind == "boolean" else "base_plus_addons"
        feature = Feature(require_key(key), kind, merge=merge, metric=metric)
        metrics = self._sold.metrics
        if metric is not None and metric not in self._sold.metric_by_key:
            metrics = (*metrics, Metric(require_key(metric)))
        self._publish(replace(self._sold, features=(*self._sold.features, feature), metrics=metrics))

    def _publish(self, catalog: Catalog) -> None:
        self._commit(CatalogChanged(self._next_revision, catalog))

    def _commit(self, change: Change) -> None:
        self.apply([change], revision=change.revision)


def _nearest(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
