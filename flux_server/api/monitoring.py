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

    def render(self, revisions: Mapping[tuple[str, str], int]) -> bytes:
        """Return everything in Prometheus' text format, with the present `revisions` by (environment, log)."""
        for (environment, log), value in revisions.items():
            self._revision.labels(environment, log).set(value)
        return generate_latest(self._registry)
