"""What this process has decoded: organizations, ready to be asked. Everything off the hot path is here.

The hot path (`Billing`) looks into `known` itself, after comparing `words[GENERATION]` with `seen`: no lock, no
call. Whatever it does not find there, `find` brings.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final

from flux_middleware.answers import Limit
from flux_middleware.beacon import GENERATION
from flux_middleware.conditions import Conditions
from flux_middleware.entitlements import resolve
from flux_middleware.errors import StoreError
from flux_middleware.policies import NO_POLICIES, Freshness, Policies
from flux_middleware.slot import Slot
from flux_middleware.snapshot import (
    UNLIMITED,
    Catalog,
    Feature,
    FeatureValue,
    OrganizationRecord,
    Unlimited,
    require_organization,
)
from flux_middleware.store import Store

__all__ = ["Cache", "Known"]

_CAPACITY: Final = 8_192
_TRIES: Final = 5


class Known:
    """A decoded organization. `entitled` and `limits` answer for every feature of the catalog until `stands_until`.

    They are not asked after `until`, which is the same, or earlier where what is known grows too old meanwhile.
    """

    __slots__ = ("catalog", "entitled", "limits", "record", "slots", "stands_until", "until")

    def __init__(
        self,
        record: OrganizationRecord,
        catalog: Catalog | None,
        until: float,
        entitled: dict[str, bool],
        limits: dict[str, Limit],
    ) -> None:
        self.record = record
        self.catalog = catalog
        self.until = self.stands_until = until
        self.entitled = entitled
        self.limits = limits
        # The counters of the present buckets. They go with the record: another one may cut time otherwise.
        self.slots: dict[str, Slot] = {}


class Cache:
    """Decoded organizations: at most twice `capacity`, those used least recently forgotten first."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        conditions: Conditions,
        capacity: int = _CAPACITY,
        policies: Policies = NO_POLICIES,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._conditions = conditions
        self._capacity = capacity
        self.words = store.beacon.words
        self.freshness = Freshness(self.words, policies, wall=wall or clock, conditions=conditions)
        self.fallbacks = policies.fallbacks
        self._fallbacks = (
            {feature: value > 0 for feature, value in policies.fallbacks.items()},
            {feature: Limit(_as_limit(value)) for feature, value in policies.fallbacks.items()},
        )
        self.forget()

    def forget(self) -> None:
        """Forget everything, and a lock that a thread of the parent's may have held at a fork."""
        self._lock = threading.RLock()
        self.known: dict[str, Known] = {}
        self._older: dict[str, Known] = {}
        self.seen = -1
        self._generation = -1
        self._catalog: Catalog | None = None
        self._answers: dict[tuple[FeatureValue, ...], tuple[dict[str, bool], dict[str, Limit]]] = {}

    def find(self, organization: str) -> Known:
        """Return the organization as it stands now.

        Raises:
            InvalidOrganizationError: that is no organization's id.
        """
        require_organization(organization)
        with self._lock:
            try:
                found = self._find(organization)
            except StoreError as error:
                self._conditions.begin("store", str(error), "%s", error)
                stale = self.known.get(organization) or self._older.get(organization)
                if stale is None:
                    return Known(OrganizationRecord(organization), None, 0, *self._fallbacks)
                return self._known(stale.record, stale.catalog, self._clock())
            self._conditions.end("store", "the local store can be read again")
            return found

    def _find(self, organization: str) -> Known:
        if self.words[GENERATION] != self.seen:
            self._catch_up()
        now = self._clock()
        known = self.known.get(organization) or self._older.pop(organization, None)
        if known is None:
            record = self._record(organization)
            known = self._known(record, self._catalog, now)
        elif now >= known.stands_until:
            known = self._known(known.record, known.catalog, now)
        if len(self.known) >= self._capacity and organization not in self.known:
            # Two halves instead of an order: whatever is not used while one fills goes with the other.
            self._older, self.known = self.known, {}
        if self.freshness.is_bounded:
            known.until = min(known.stands_until, now + self.freshness.left())
        self.known[organization] = known
        return known

    def _catch_up(self) -> None:
        """Forget what has changed since the last time."""
        announced = self.words[GENERATION]
        generation, changed = self._store.changed_since(self._generation)
        if changed is None:
            generation, self._catalog = self._store.catalog()
            self.known, self._older, self._answers = {}, {}, {}
            if self._catalog is not None:
                self._conditions.end("unavailable", "there is something to go by now")
        else:
            for organization in changed:
                self.known.pop(organization, None)
                self._older.pop(organization, None)
        self._generation, self.seen = generation, announced

    def _record(self, organization: str) -> OrganizationRecord:
        generation, record = self._store.organization(organization)
        for _ in range(_TRIES):
            if generation == self._generation:
                break
            # The record may need a newer catalog than the one decoded.
            self._catch_up()
            generation, record = self._store.organization(organization)
        return record or OrganizationRecord(organization)

    def _known(self, record: OrganizationRecord, catalog: Catalog | None, now: float) -> Known:
        if catalog is None:
            return Known(record, None, math.inf, *self._fallbacks)
        entitlements = resolve(catalog, record, now)
        values = {key: each.value for key, each in entitlements.by_feature.items()}
        entitled, limits = self._answered(catalog, values)
        return Known(record, catalog, entitlements.until, entitled, limits)

    def _answered(
        self, catalog: Catalog, granted: dict[str, FeatureValue]
    ) -> tuple[dict[str, bool], dict[str, Limit]]:
        """Return the answers for every feature there is; the same ones are shared among organizations."""
        values = tuple(granted.get(feature.key, 0) for feature in catalog.features)
        answers = self._answers.get(values)
        if answers is None:
            by_key = dict(zip((feature.key for feature in catalog.features), values, strict=True))
            entitled = {key: value > 0 for key, value in by_key.items()}
            limits = {
                feature.key: Limit(_limit(feature, by_key[feature.key])) for feature in catalog.features
            }
            if len(self._answers) >= self._capacity:
                self._answers.clear()
            answers = self._answers[values] = (entitled, limits)
        return answers


def _limit(feature: Feature, value: FeatureValue) -> FeatureValue:
    """Return the value as a limit: a granted capability is as much of itself as anybody wants."""
    return _as_limit(value > 0 if feature.kind == "boolean" else value)


def _as_limit(value: FeatureValue) -> FeatureValue:
    if isinstance(value, bool):
        return UNLIMITED if value else 0
    return value if isinstance(value, Unlimited) else int(value)
