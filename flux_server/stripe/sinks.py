"""Where usage goes: each kind of metering that Stripe has, or had, behind one small interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from flux_server.stripe.client import StripeApi
from flux_server.stripe.outbox import Delivery

__all__ = ["SINKS", "MeterEventSink", "Sink"]


class Sink(Protocol):
    """Sends one delivery, once; whatever comes of it but success is raised as a `CallError`."""

    async def send(self, api: StripeApi, delivery: Delivery) -> None: ...


class MeterEventSink:
    """Billing meters, by the v1 API: each event adds its value."""

    async def send(self, api: StripeApi, delivery: Delivery) -> None:
        await api.send_meter_event(
            delivery.event_name,
            delivery.payload,
            identifier=delivery.identifier,
            timestamp=delivery.timestamp,
            attempt_key=delivery.attempt_key,
        )


SINKS: Final[Mapping[str, Sink]] = {"meter_event": MeterEventSink()}
"""Sinks by the name that a row of the outbox carries."""
