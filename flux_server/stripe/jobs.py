"""What the connector does without being asked."""

from __future__ import annotations

from functools import partial

from flux_server.jobs.runner import Job
from flux_server.stripe.active_entitlements import ENTITLEMENTS_TOPIC, take_back_everywhere
from flux_server.stripe.connector import Connector
from flux_server.stripe.dirty import DIRTY_TOPIC
from flux_server.stripe.event_log import prune_due
from flux_server.stripe.forwarder import plan_all, send_due
from flux_server.stripe.missed_events import MissedEvents
from flux_server.stripe.nightly import start_nightly_sweeps
from flux_server.stripe.planning import OUTBOX_TOPIC
from flux_server.stripe.refused import write_refusals
from flux_server.stripe.sweeping import sweep_due
from flux_server.stripe.sweeps import SWEEPS_TOPIC
from flux_server.stripe.sync import sync_due

__all__ = ["stripe_jobs"]

_SCHEDULE = 60.0
_PRUNE_INTERVAL = 600.0
_SELDOM = 60.0  # for what another process left, and was stopped
_LOOK_AGAIN = 1.0  # for what comes due with time, and for what other processes wrote


def stripe_jobs(connector: Connector) -> list[Job]:
    """Return the jobs that keep Flux and Stripe in step."""
    return [
        Job("stripe-sync", (DIRTY_TOPIC,), _LOOK_AGAIN, partial(sync_due, connector)),
        Job("stripe-entitlements", (ENTITLEMENTS_TOPIC,), _SELDOM, partial(take_back_everywhere, connector)),
        Job("stripe-sweep", (SWEEPS_TOPIC,), _LOOK_AGAIN, partial(sweep_due, connector)),
        Job("stripe-nightly", (), _SCHEDULE, partial(start_nightly_sweeps, connector)),
        Job("stripe-events", (), _SCHEDULE, MissedEvents(connector).run),
        Job("stripe-plan", (), connector.settings.forward_interval, partial(plan_all, connector)),
        Job("stripe-send", (OUTBOX_TOPIC,), _LOOK_AGAIN, partial(send_due, connector)),
        Job(
            "stripe-refusals", (), _LOOK_AGAIN, partial(write_refusals, connector.database, connector.refused)
        ),
        Job("stripe-prune", (), _PRUNE_INTERVAL, partial(prune_due, connector)),
    ]
