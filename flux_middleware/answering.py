"""What applications ask and tell: entitlements, limits and usage, answered in this process.

`is_entitled`, `get_limit` and `record_usage` each have a hot path of a few dictionary look-ups and one reading of
the clock, written out in full: every further call would cost as much as all of it. Anything out of the ordinary
(an organization not decoded yet, a change, a moment passed, a mistake) falls through to the method below it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import overload

from flux_middleware.answers import Entitlement, Explanation, Limit, Usage, UsageEvent
from flux_middleware.beacon import GENERATION
from flux_middleware.cache import Cache, Known
from flux_middleware.conditions import Conditions
from flux_middleware.decisions import Decision
from flux_middleware.entitlements import explain as explain_entitlements
from flux_middleware.errors import InvalidQuantityError
from flux_middleware.journal import Journal
from flux_middleware.journals import Journals
from flux_middleware.keys import FeatureKey, LimitKey, MetricKey
from flux_middleware.periods import bucket_bounds, usage_period
from flux_middleware.policies import WhenStale, require_max_stale
from flux_middleware.snapshot import UNLIMITED, FeatureValue, require_key
from flux_middleware.store import Store
from flux_middleware.weighing import Quantity, all_entitlements, weigh

__all__ = ["Billing"]

_NOTHING = Limit(0)
_BOUNDLESS = Limit(UNLIMITED)


class Billing:
    """Answers from what the host knows; never asks the network."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        journal: Journal,
        journals: Journals,
        *,
        clock: Callable[[], float],
        conditions: Conditions,
        in_new_process: Callable[[], None],
    ) -> None:
        self._store = store
        self._cache = cache
        self._journal = journal
        self._journals = journals
        self._clock = clock
        self._conditions = conditions
        self._in_new_process = in_new_process
        self._usage_lock = threading.Lock()

    def is_entitled(self, organization: str, feature: FeatureKey) -> bool:
        """Say whether the organization is entitled to the feature; to a limit, if it is above zero."""
        cache = self._cache
        try:
            known = cache.known[organization]
            if cache.words[GENERATION] == cache.seen and self._clock() < known.until:
                return known.entitled[feature]
        except (KeyError, TypeError):
            pass
        known = self._find(organization)
        entitled = known.entitled.get(feature)
        if entitled is None or known.catalog is None:
            self._note(known, feature)
        overdue = self._overdue(known)
        return bool(entitled) if overdue is None else overdue and entitled is not None

    def get_limit(self, organization: str, feature: LimitKey) -> Limit:
        """Return how much of the feature the organization may have: `.value` is an int or UNLIMITED."""
        cache = self._cache
        try:
            known = cache.known[organization]
            if cache.words[GENERATION] == cache.seen and self._clock() < known.until:
                return known.limits[feature]
        except (KeyError, TypeError):
            pass
        known = self._find(organization)
        limit = known.limits.get(feature)
        if limit is None or known.catalog is None:
            self._note(known, feature)
        overdue = self._overdue(known)
        if overdue is None:
            return limit or _NOTHING
        return _BOUNDLESS if overdue and limit is not None else _NOTHING

    def entitlements(self, organization: str) -> Mapping[FeatureKey, Entitlement]:
        """Return what the organization is entitled to of every feature there is, by the feature's key."""
        known = self._find(organization)
        if known.catalog is None:
            self._note(known)
        return all_entitlements(known, self._clock(), self._overdue(known), self._cache.fallbacks)

    @overload
    def record_usage(self, organization: UsageEvent, /) -> None: ...

    @overload
    def record_usage(self, organization: str, metric: MetricKey, quantity: int = 1) -> None: ...

    def record_usage(
        self, organization: str | UsageEvent, metric: str | None = None, quantity: int = 1
    ) -> None:
        """Count `quantity` (a whole number, 0 or more) of the metric. What this returned from, `kill -9` keeps.

        Raises:
            InvalidOrganizationError: that is no organization's id.
            InvalidQuantityError: that is no whole number of 0 or more.
            InvalidRecordError: the metric's name is malformed.
            JournalError: this host has no room to count in.
        """
        cache, journal = self._cache, self._journal
        try:
            slot = cache.known[organization].slots[metric]  # type: ignore[index]  # a miss if it is no string
            if (
                type(quantity) is int
                and quantity >= 0
                and cache.words[GENERATION] == cache.seen
                and self._clock() < slot.until
                and os.getpid() == journal.pid
            ):
                with journal.lock:
                    slot.counters[slot.index] += quantity
                return
        except (KeyError, TypeError, ValueError):  # ValueError: the journal went on to another file
            pass
        self._record(_event(organization, metric, quantity))

    def check(
        self,
        organization: str,
        feature: FeatureKey,
        quantity: int | None = None,
        *,
        used: int | None = None,
        max_stale: float | None = None,
        when_stale: WhenStale | None = None,
    ) -> Decision:
        """Decide as `is_entitled` does, and say why; with a quantity, whether so much more fits into the limit.

        Args:
            organization: whose plan counts.
            feature: what is asked for.
            quantity: how much more of a limit shall be used; 1 if only `used` is given.
            used: how much of it is used, if the caller counts. Otherwise usage of the limit's metric counts, as
                `get_usage` tells it.
            max_stale: how many seconds ago the server may have been heard of at most; otherwise what `init` was told.
            when_stale: what to answer beyond that, "deny" or "allow"; otherwise what `init` was told.

        Raises:
            InvalidOrganizationError: that is no organization's id.
            InvalidQuantityError: `quantity` or `used` is no whole number of 0 or more.
            ConfigurationError: the caller must say how much is used, as no metric, or none of the billing period,
                counts it; or `max_stale` or `when_stale` is none.
        """
        if max_stale is not None or when_stale is not None:
            require_max_stale(max_stale, when_stale or "deny")
        known = self._find(organization)
        self._note(known, feature)
        verdict = weigh(known, feature, self._overdue(known, max_stale, when_stale))
        if quantity is not None or used is not None:
            ask = Quantity(feature, 1 if quantity is None else quantity, used)
            verdict = ask.weigh(known, verdict, self._clock(), self._used)
        return verdict.decision(organization, feature, self._revision())

    def explain(self, organization: str, feature: FeatureKey) -> Explanation:
        """Return the chain that leads to the verdict: subscriptions, plan versions, overrides. Prints readably."""
        known = self._find(organization)
        verdict = weigh(known, feature, self._overdue(known))
        found = None
        if known.catalog is not None:
            explained = explain_entitlements(known.catalog, known.record, self._clock())
            found = explained.by_feature.get(feature)
        return Explanation(
            organization=organization,
            feature=feature,
            allowed=verdict.allowed,
            value=found.value if found else _ungranted(known, feature),
            until=found.until if found else known.until,
            reasons=found.reasons if found else (),
            verdict=verdict.sentence(organization, feature),
            revision=self._revision(),
        )

    def get_usage(self, organization: str, metric: MetricKey) -> Usage:
        """Return what the organization used in its current period, this host's unsent counts included."""
        known = self._find(organization)
        require_key(metric)
        start, end = usage_period(known.record, self._clock())
        with self._usage_lock:
            while True:
                sent, unsent = self._count(organization, metric, start, end)
                if unsent is not None:
                    return Usage(organization, metric, sent + unsent, start, end)

    def _count(self, organization: str, metric: str, start: int, end: int) -> tuple[int, int | None]:
        """Return what the server has and what it has not; None if a journal went over to it meanwhile.

        Journals first, then what is acknowledged of them, then their totals: whatever happens meanwhile is
        counted once, as acknowledged or as not. A retired journal is acknowledged for good.
        """
        readers = [reader for reader in self._journals.readers() if not reader.is_retired]
        counters = [
            (reader, entry)
            for reader in readers
            for entry in reader.by_pair.get((organization, metric), ())
            if start <= entry.bucket < end
        ]
        standing, acknowledged = self._store.usage(
            organization, metric, [(reader.source, entry.place) for reader, entry in counters]
        )
        sent = standing.quantity if standing is not None and standing.period_start == start else 0
        if any(reader.is_retired for reader in readers):
            return sent, None
        return sent, sum(
            reader.total(entry) - known for (reader, entry), known in zip(counters, acknowledged, strict=True)
        )

    def backlog(self) -> int:
        """Return how many of this host's counters the server has not acknowledged as they stand."""
        # Journals of its own: a signal handler that shuts down must not wait for a question it interrupted.
        with closing(Journals(self._journals.directory, self._journals.environment)) as journals:
            waiting = 0
            for reader in journals.readers():
                acknowledged = self._store.acknowledged(reader.source)
                if not reader.is_retired:
                    waiting += sum(
                        reader.total(entry) != acknowledged.get(entry.place, 0) for entry in reader.entries
                    )
            return waiting

    def after_fork(self) -> None:
        """In a forked child: let go of what the parent had decoded, mapped and locked."""
        self._usage_lock = threading.Lock()
        self._journals.close()
        self._cache.forget()
        self._journal.after_fork()

    def _find(self, organization: str) -> Known:
        if os.getpid() != self._journal.pid:  # uWSGI forks without telling Python
            self._in_new_process()
        return self._cache.find(organization)

    def _record(self, event: UsageEvent) -> None:
        organization, metric, quantity = event.org_id, event.metric, event.quantity
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0:
            raise InvalidQuantityError(metric, quantity)
        known = self._find(organization)
        self._note_metric(known, require_key(metric))
        bucket, until = bucket_bounds(known.record, self._clock())
        known.slots[metric] = self._journal.count(organization, metric, bucket, until, quantity)

    def _overdue(
        self, known: Known, max_stale: float | None = None, when_stale: WhenStale | None = None
    ) -> bool | None:
        """Say how to answer if what is known is too old; None if it is not, or nothing is known to begin with."""
        return self._cache.freshness.overdue(max_stale, when_stale) if known.catalog is not None else None

    def _used(self, organization: str, metric: str) -> int:
        return self.get_usage(organization, metric).quantity

    def _note(self, known: Known, feature: str | None = None) -> None:
        """Log, once, that there is nothing to go by, or nothing to go by about this feature."""
        if known.catalog is None:
            self._conditions.begin(
                "unavailable",
                "unavailable",
                "there is nothing to go by: the server was never reached from this host; until it is, checks are "
                "answered by the declared fallbacks, and denied where there is none",
            )
        elif feature is not None and feature not in known.entitled:
            self._conditions.begin(
                f"feature {feature}", "unknown", "feature %r is not in the catalog; it is denied", feature
            )

    def _note_metric(self, known: Known, metric: str) -> None:
        if known.catalog is not None and metric not in known.catalog.metric_by_key:
            self._conditions.begin(
                f"metric {metric}",
                "unknown",
                "metric %r is not in the catalog; its usage is kept, and sent once it is",
                metric,
            )

    def _revision(self) -> int | None:
        synced = self._store.synced()
        return None if synced is None else synced.revision


def _event(organization: str | UsageEvent, metric: str | None, quantity: int) -> UsageEvent:
    if isinstance(organization, UsageEvent):
        return organization
    if metric is None:
        raise TypeError("record_usage takes an organization and a metric, or a UsageEvent")
    return UsageEvent(org_id=organization, metric=metric, quantity=quantity)


def _ungranted(known: Known, feature: str) -> FeatureValue:
    """Return what a feature is worth that nothing grants: 0 of a limit, no to anything else."""
    declared = known.catalog.feature_by_key.get(feature) if known.catalog else None
    return 0 if declared is not None and declared.kind == "limit" else False
