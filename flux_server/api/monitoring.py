"""What the server counts about itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

__all__ = ["Monitoring"]


class Monitoring:
    """The counters and gauges of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "flux_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.slots = Counter(
            "flux_usage_slots", "Usage slots taken in.", ["environment"], registry=self._registry
        )
        self.streams = Gauge("flux_streams", "Streams open now.", ["environment"], registry=self._registry)
        self._revision = Gauge(
            "flux_revision", "Newest revision.", ["environment", "log"], registry=self._registry
        )

        self._drift = Counter(
            "flux_stripe_drift",
            "Objects of Stripe found to be other than any webhook had told.",
            ["environment"],
            registry=self._registry,
        )
        self._dirty = Gauge(
            "flux_stripe_dirty",
            "Objects that wait to be read from Stripe.",
            ["environment"],
            registry=self._registry,
        )
        self._dirty_age = Gauge(
            "flux_stripe_dirty_age_seconds",
            "Since when the longest waiting of them is due.",
            ["environment"],
            registry=self._registry,
        )

    def note_drift(self, environment: str, count: int) -> None:
        """Count objects that were found to be other than Flux believed."""
        self._drift.labels(environment).inc(count)

    def render(
        self, revisions: Mapping[tuple[str, str], int], dirty: Mapping[str, tuple[int, float]]
    ) -> bytes:
        """Return everything in Prometheus' text format.

        With the present `revisions` by (environment, log), and by the environment how many objects are `dirty`, and
        for how many seconds.
        """
        for (environment, log), value in revisions.items():
            count, age = dirty.get(environment, (0, 0))
            self._revision.labels(environment, log).set(value)
            self._dirty.labels(environment).set(count)
            self._dirty_age.labels(environment).set(age)
        return generate_latest(self._registry)
