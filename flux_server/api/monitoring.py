"""What the server counts about itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from flux_server.stripe.figures import Figures

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
        self._webhooks = {
            outcome: Counter(
                f"flux_stripe_webhook_{outcome}", meaning, ["environment"], registry=self._registry
            )
            for outcome, meaning in _WEBHOOKS.items()
        }
        self._stripe = {
            name: Gauge(f"flux_stripe_{name}", meaning, ["environment"], registry=self._registry)
            for name, meaning in _STRIPE.items()
        }

        self._drift = Counter(
            "flux_stripe_drift",
            "Objects of Stripe found to be other than any webhook had told.",
            ["environment"],
            registry=self._registry,
        )

    def note_drift(self, environment: str, count: int) -> None:
        """Count objects that were found to be other than Flux believed."""
        self._drift.labels(environment).inc(count)

    def count_webhook(self, environment: str, outcome: str) -> None:
        """Count a webhook of Stripe's, by what came of it: received, duplicate or refused."""
        self._webhooks[outcome].labels(environment).inc()

    def render(
        self, revisions: Mapping[tuple[str, str], int], stripe: Mapping[str, Figures] | None = None
    ) -> bytes:
        """Return everything in Prometheus' text format, with the present `revisions` by (environment, log).

        `stripe` is how each environment that is linked to Stripe stands.
        """
        for (environment, log), value in revisions.items():
            self._revision.labels(environment, log).set(value)
        for name, gauge in self._stripe.items():
            gauge.clear()  # one whose link was ended is not there any more
            for environment, figures in (stripe or {}).items():
                gauge.labels(environment).set(getattr(figures, name))
        return generate_latest(self._registry)


_WEBHOOKS: Final = {
    "received": "Webhooks whose event was new.",
    "duplicate": "Webhooks whose event had come before.",
    "refused": "Webhooks that were refused.",
}
_STRIPE: Final = {
    "paused": "1 while Stripe is not called.",
    "dirty": "Objects that wait to be read.",
    "dirty_age_seconds": "How long the first of them has waited.",
    "unsent": "Usage that waits to be sent.",
    "unsent_age_seconds": "How long the first of it has waited.",
}
