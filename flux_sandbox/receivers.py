"""Who is told of events: webhook endpoints, and event destinations, which may want thin events in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flux_sandbox.ledger import Document, Ledger

__all__ = ["Receiver", "find_receiver", "receivers", "wanted_by"]

_KINDS: Final = ("webhook_endpoint", "v2.core.event_destination")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where events go, which ones, and in which shape."""

    id: str
    url: str
    enabled: bool
    events: frozenset[str]
    thin: bool
    api_version: str | None
    """The version of the snapshots that it gets; if none is said, the account's."""

    def wants(self, event: Document) -> bool:
        """Say whether an event is to be sent there."""
        thin = event["object"] == "v2.core.event"
        return self.enabled and self.thin == thin and bool({"*", event["type"]} & self.events)


def receivers(ledger: Ledger) -> Iterator[Receiver]:
    """Iterate over all receivers, the newest of each kind first."""
    return (_receiver(document) for kind in _KINDS for document in ledger.newest_first(kind))


def wanted_by(ledger: Ledger, event: Document) -> list[Receiver]:
    """Return the receivers that want an event."""
    return [receiver for receiver in receivers(ledger) if receiver.wants(event)]


def find_receiver(ledger: Ledger, id_: str) -> Receiver | None:
    """Return the receiver, unless it was deleted."""
    found = next((document for kind in _KINDS if (document := ledger.find(kind, id_))), None)
    return None if found is None else _receiver(found)


def _receiver(document: Document) -> Receiver:
    of_a_destination = document["object"] == "v2.core.event_destination"
    version = document["snapshot_api_version"] if of_a_destination else document["api_version"]
    return Receiver(
        id=document["id"],
        url=document["webhook_endpoint"]["url"] if of_a_destination else document["url"],
        enabled=document["status"] == "enabled",
        events=frozenset(document["enabled_events"]),
        thin=of_a_destination and document["event_payload"] == "thin",
        api_version=version,
    )
