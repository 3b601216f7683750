"""A client that keeps everything in memory: no server, no file, no thread; the rules are the real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

from flux_middleware.answering import Billing
from flux_middleware.answers import Status
from flux_middleware.cache import Cache
from flux_middleware.catalog import Catalog, FeatureValue, wire_value
from flux_middleware.client import Flux
from flux_middleware.conditions import Conditions
from flux_middleware.configuration import Configuration
from flux_middleware.keys import FeatureKey, LimitKey, MetricKey
from flux_middleware.memory_journal import MemoryJournal, MemoryJournals
from flux_middleware.plans_file import read_plans_file
from flux_middleware.policies import WhenStale, read_policies
from flux_middleware.snapshot import OrganizationRecord, Override, Subscription, SubscriptionItem
from flux_middleware.testing.block import Block
from flux_middleware.testing.clock import Clock, seconds_of
from flux_middleware.testing.world import Subscriptions, World

__all__ = ["InMemoryFlux", "Moment"]

Moment = datetime | float
"""A moment with its time zone, or seconds since the epoch."""

_ENVIRONMENT: Final = "test"
_AUTHOR: Final = "flux.testing"


class InMemoryFlux(Flux):
    """A client to test with. `billing` answers by the real rules, from what the test says organizations have.

    Without a catalog, features come to be when they are granted. With one, there are just those of the catalog, so
    a test that misspells one fails.

    Args:
        catalog: the path of your plans.toml, or a catalog.
        clock: tells the time; otherwise one that stands at the present time.
        fallbacks: as of `flux.init`, and so are `max_stale` and `when_stale`: for `unavailable` and `stale`.

    Raises:
        ConfigurationError: that is no catalog.
    """

    def __init__(
        self,
        catalog: Catalog | str | os.PathLike[str] | None = None,
        *,
        clock: Clock | None = None,
        fallbacks: Mapping[str, FeatureValue] | None = None,
        max_stale: float | None = None,
        when_stale: WhenStale = "deny",
    ) -> None:
        policies = read_policies(fallbacks, max_stale, when_stale)
        if catalog is not None and not isinstance(catalog, Catalog):
            catalog = read_plans_file(catalog)
        # All that a Flux has, in memory: nothing is opened or started that would have to be shut down.
        self.configuration = Configuration("", _ENVIRONMENT, "memory:", Path(os.devnull), policies=policies)
        self.clock = clock or Clock()
        self._conditions = Conditions()
        self._world = World(catalog, _ENVIRONMENT)
        self._counted = MemoryJournal(_ENVIRONMENT)
        cache = Cache(
            self._world,
            clock=self.clock,
            conditions=self._conditions,
            policies=policies,
            wall=self._world.since_contact,
        )
        self.clock.when_turned(cache.forget)
        self.billing = Billing(
            self._world,
            cache,
            self._counted,
            MemoryJournals(self._counted, _ENVIRONMENT),
            clock=self.clock,
            conditions=self._conditions,
            in_new_process=self._after_fork,
        )

    def grant(self, organization: str, *features: FeatureKey) -> None:
        """Entitle the organization to the features, whatever its plan."""
        for feature in features:
            self._override(organization, feature, True)

    def set_limit(
        self, organization: str, feature: LimitKey, value: FeatureValue, *, metric: MetricKey | None = None
    ) -> None:
        """Let the organization have that much of the feature, whatever its plan; a `metric` uses up a new limit."""
        self._world.declare(feature, value, metric)
        self._override(organization, feature, value)

    def deny(self, organization: str, *features: FeatureKey) -> None:
        """Deny the organization the features, whatever its plan."""
        for feature in features:
            self._override(organization, feature, False)

    def override_entitlement(
        self, organization: str, feature: FeatureKey, value: FeatureValue = True
    ) -> Block[InMemoryFlux]:
        """Grant, limit or (False) deny the feature within a block or a decorated function."""
        return Block(lambda: self._overridden(organization, feature, value))

    def subscribe(
        self,
        organization: str,
        plan: str,
        *,
        quantity: int = 1,
        status: str = "active",
        trial_end: Moment | None = None,
        period_end: Moment | None = None,
        cancel_at: Moment | None = None,
        past_due_since: Moment | None = None,
    ) -> None:
        """Let the organization subscribe to the plan from now on, in place of a subscription to this plan.

        Raises:
            ConfigurationError: the catalog has no such plan.
        """
        now, end = int(self.clock()), _seconds(period_end)
        item = SubscriptionItem(
            f"testing-{plan}",
            self._world.version_of(plan),
            quantity,
            period_start=None if end is None else min(now, end),
            period_end=end,
        )
        subscription = Subscription(
            item.id,
            status,
            (item,),
            started_at=now,
            trial_end=_seconds(trial_end),
            cancel_at=_seconds(cancel_at),
            past_due_since=_seconds(past_due_since),
        )
        self._world.swap_subscriptions(organization, lambda had: (*_without(had, item.id), subscription))

    def unsubscribe(self, organization: str, *plans: str) -> None:
        """End the organization's subscriptions to the plans; all of them, if no plan is named."""
        gone = {f"testing-{plan}" for plan in plans}
        self._world.swap_subscriptions(organization, lambda had: _without(had, *gone) if gone else ())

    def override_plan(self, organization: str, *plans: str) -> Block[InMemoryFlux]:
        """Let the organization subscribe to these plans and no others within a block or a decorated function."""
        return Block(lambda: self._resubscribed(organization, plans))

    def define_plan(
        self,
        plan: str,
        entitlements: Mapping[str, FeatureValue],
        *,
        kind: str = "base",
        is_default: bool = False,
    ) -> None:
        """Put a plan into the catalog, or in place of the one of this name: `{"sso": True, "seats": 5}`."""
        self._world.define_plan(plan, entitlements, kind=kind, is_default=is_default)

    def put_organization(self, record: OrganizationRecord) -> None:
        """Let this be all that there is to know of an organization; for what has no method here."""
        self._world.put(record)

    def usage(self, organization: str, metric: MetricKey) -> int:
        """Return how much of the metric was recorded for the organization, in whatever period."""
        return self.recorded.get((organization, metric), 0)

    @property
    def recorded(self) -> dict[tuple[str, str], int]:
        """All usage that was recorded, by organization and metric."""
        return self._counted.totals()

    @contextmanager
    def unavailable(self) -> Iterator[Self]:
        """Answer within the block as a host that never reached its server: gated routes are a 503."""
        self._world.hide(True)
        try:
            yield self
        finally:
            self._world.hide(False)

    @contextmanager
    def stale(self, by: timedelta | float) -> Iterator[Self]:
        """Answer within the block as a host that has not heard from its server for so long (seconds, if a number)."""
        self._world.silence(by.total_seconds() if isinstance(by, timedelta) else by)
        try:
            yield self
        finally:
            self._world.silence(0.0)

    def wait_until_ready(self, timeout: float = 10.0) -> bool:  # noqa: ARG002  as of a Flux
        """Say whether there is something to go by: always, except within `unavailable`."""
        return self._world.synced() is not None

    def flush(self, timeout: float = 5.0) -> bool:  # noqa: ARG002
        """Say that every count is where it belongs."""
        return True

    def shutdown(self, timeout: float = 0.0) -> None:
        """Do nothing: nothing was started."""

    def status(self) -> Status:
        """Return how a host does that hears from its server."""
        synced = self._world.synced()
        return Status(
            ready=synced is not None,
            environment=_ENVIRONMENT,
            url=self.configuration.url,
            directory=str(self.configuration.directory),
            revision=synced.revision if synced else None,
            organizations=synced.organizations if synced else 0,
            age=self._world.silent_for if synced else None,
            refresher=os.getpid(),
            refresher_alive=True,
            is_refresher=True,
            backlog=0,
            problem=None,
        )

    def _override(self, organization: str, feature: str, value: FeatureValue) -> Override | None:
        self._world.declare(feature, value)
        effect, wire = ("deny", None) if value is False else ("set", wire_value(value))
        id_ = f"testing-{feature}"
        override = Override(id_, feature, effect, wire, author=_AUTHOR, reason="a test says so")
        return self._world.swap_override(organization, id_, override)

    @contextmanager
    def _overridden(self, organization: str, feature: str, value: FeatureValue) -> Iterator[InMemoryFlux]:
        before = self._override(organization, feature, value)
        try:
            yield self
        finally:
            self._world.swap_override(organization, f"testing-{feature}", before)

    @contextmanager
    def _resubscribed(self, organization: str, plans: tuple[str, ...]) -> Iterator[InMemoryFlux]:
        before = self._world.record(organization).subscriptions
        try:
            self.unsubscribe(organization)
            for plan in plans:
                self.subscribe(organization, plan)
            yield self
        finally:
            self._world.swap_subscriptions(organization, lambda _: before)

    def _after_fork(self) -> None:
        self._world.after_fork()
        self.billing.after_fork()


def _seconds(moment: Moment | None) -> int | None:
    return None if moment is None else int(seconds_of(moment))


def _without(subscriptions: Subscriptions, *ids: str) -> Subscriptions:
    return tuple(each for each in subscriptions if each.id not in ids)
