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
from flux_middleware.slot import Slot
from flux_middleware.snapshot import (
    UNLIMITED,
    Catalog,
    FeatureValue,
    OrganizationRecord,
    require_organization,
)
from flux_middleware.store import Store

__all__ = ["Cache", "Known"]

_CAPACITY: Final = 8_192
_TRIES: Final = 5


class Known:
    """A decoded organization. `entitled` and `limits` answer for every feature of the catalog until `until`."""

    __slots__ = ("catalog", "entitled", "limits", "record", "slots", "until")

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
        self.until = until
        self.entitled = entitled
        self.limits = limits
        # The counters of the present buckets. They go with the record: another one may cut time otherwise.
        self.slots: dict[str, Slot] = {}


class Cache:
    """Decoded organizations: at most twice `capacity`, those used least recently forgotten first."""

    def __init__(
        self, store: Store, *, clock: Callable[[], float], conditions: Conditions, capacity: int = _CAPACITY
    ) -> None:
        self._store = store
        self._clock = clock
        self._conditions = conditions
        self._capacity = capacity
        self.words = store.beacon.words
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
                return stale or Known(OrganizationRecord(organization), None, 0, {}, {})
            self._conditions.end("store", "the local store can be read again")
            return found

    def _find(self, organization: str) -> Known:
        if self.words[GENERATION] != self.seen:
            self._catch_up()
        now = self._clock()
        known = self.known.get(organization) or self._older.pop(organization, None)
        if known is None or now >= known.until:
            known = self._load(organization, now)
        if len(self.known) >= self._capacity and organization not in self.known:
            # Two halves instead of an order: whatever is not used while one fills goes with the other.
            self._older, self.known = self.known, {}
        self.known[organization] = known
        return known

    def _catch_up(self) -> None:
        """Forget what has changed since the last time."""
        announced = self.words[GENERATION]
        generation, changed = self._store.changed_since(self._generation)
        if changed is None:
            self.known, self._older, self._answers = {}, {}, {}
            generation, self._catalog = self._store.catalog()
        else:
            for organization in changed:
                self.known.pop(organization, None)
                self._older.pop(organization, None)
        self._generation, self.seen = generation, announced

    def _load(self, organization: str, now: float) -> Known:
        generation, record = self._store.organization(organization)
        for _ in range(_TRIES):
            if generation == self._generation:
                break
            # The record may need a newer catalog than the one decoded.
            self._catch_up()
            generation, record = self._store.organization(organization)
        record = record or OrganizationRecord(organization)
        if self._catalog is None:
            return Known(record, None, math.inf, {}, {})
        entitlements = resolve(self._catalog, record, now)
        values = {key: each.value for key, each in entitlements.by_feature.items()}
        entitled, limits = self._answered(self._catalog, values)
        return Known(record, self._catalog, entitlements.until, entitled, limits)

    def _answered(
        self, catalog: Catalog, granted: dict[str, FeatureValue]
    ) -> tuple[dict[str, bool], dict[str, Limit]]:
        """Return the answers for every feature there is; the same ones are shared among organizations."""
        values = tuple(granted.get(feature.key, 0) for feature in catalog.features)
        answers = self._answers.get(values)
        if answers is None:
            by_key = dict(zip((feature.key for feature in catalog.features), values, strict=True))
            entitled = {key: value > 0 for key, value in by_key.items()}
            limits = {key: Limit(_limit(value)) for key, value in by_key.items()}
            if len(self._answers) >= self._capacity:
                self._answers.clear()
            answers = self._answers[values] = (entitled, limits)
        return answers


def _limit(value: FeatureValue) -> FeatureValue:
    """A granted capability is as much of itself as anybody wants."""
    if isinstance(value, bool):
        return UNLIMITED if value else 0
    return value
