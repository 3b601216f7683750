"""What a host knows: the interface of its store, and what every store answers with.

One process writes (the refresher; `flush` writes what the server acknowledged), all read. A reader sees a commit
wholly or not at all. Each commit that may change an answer has the next *generation*, and a log says which
organizations it touched, so that readers forget those and no others.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

import msgspec

from flux_middleware.beacon import Beacon
from flux_middleware.snapshot import (
    Catalog,
    CatalogChanged,
    Change,
    OrganizationChanged,
    OrganizationRecord,
    SnapshotHeader,
    UsageReceipt,
    UsageStanding,
    UsageUpdate,
)

__all__ = [
    "LOGGED_GENERATIONS",
    "Counter",
    "Replacement",
    "Store",
    "Synced",
    "changed_organizations",
    "following",
]

LOGGED_GENERATIONS: Final = 1_000
"""Who has missed more commits than this forgets everything it has decoded."""

Counter = tuple[str, int]
"""One journal's counter: the journal's source id, and the counter's place in it."""


class Synced(msgspec.Struct, frozen=True):
    """Which server the store follows, and how far it has come.

    `history` is another one whenever everything that the server ever acknowledged has been forgotten.
    """

    environment: str
    instance: str
    revision: int
    usage_revision: int = 0
    organizations: int = 0
    history: str = ""


def following(before: Synced | None, header: SnapshotHeader) -> Synced:
    """Return how far the store has come with this snapshot.

    If the server's database is not the one followed so far, or an older backup of it, then what it acknowledged
    it may not have any more: that is another history, which begins at usage revision 0.
    """
    if before is None or header.instance != before.instance or header.revision < before.revision:
        return Synced(header.environment, header.instance, header.revision, history=secrets.token_hex(8))
    return msgspec.structs.replace(before, environment=header.environment, revision=header.revision)


def changed_organizations(changes: Iterable[Change]) -> frozenset[str] | None:
    """Return the organizations whose answers the changes may alter; None if that is all of them."""
    organizations = set()
    for change in changes:
        if isinstance(change, CatalogChanged):
            return None
        organizations.add(
            change.record.id if isinstance(change, OrganizationChanged) else change.organization
        )
    return frozenset(organizations)


class Replacement(Protocol):
    """A snapshot on its way into the store; unseen until `commit`."""

    def add(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Put by these organizations: id and JSON of the record."""

    def commit(self) -> None:
        """Let the snapshot take the place of everything that was known before."""


class Store(Protocol):
    """What the host knows. Every method may be called from any thread and raises StoreError if it cannot."""

    @property
    def beacon(self) -> Beacon:
        """The numbers shared with the host's other processes."""

    def synced(self) -> Synced | None:
        """Return how far the store has come; None if it never held a whole snapshot."""

    def catalog(self) -> tuple[int, Catalog | None]:
        """Return the generation and its catalog."""

    def organization(self, organization: str) -> tuple[int, OrganizationRecord | None]:
        """Return the generation and the organization's record in it."""

    def changed_since(self, generation: int) -> tuple[int, frozenset[str] | None]:
        """Return the present generation and the organizations changed since; None if that may be any."""

    def usage(
        self, organization: str, metric: str, counters: Iterable[Counter]
    ) -> tuple[UsageStanding | None, list[int]]:
        """Return the standing, and what of each counter is acknowledged, as of one moment."""

    def acknowledged(self, source: str) -> dict[int, int]:
        """Return the acknowledged totals of a journal's counters."""

    def replacement(self, header: SnapshotHeader) -> AbstractContextManager[Replacement]:
        """Begin to replace everything by a snapshot; what was known answers meanwhile."""

    def apply(
        self, changes: Sequence[Change], usage: Sequence[UsageUpdate] = (), *, revision: int | None = None
    ) -> None:
        """Commit changes and standings together; the store has then come to `revision`."""

    def acknowledge(self, source: str, totals: Mapping[int, int], receipt: UsageReceipt) -> None:
        """Commit what the server has taken, and the standings that include it."""

    def forget_source(self, source: str) -> None:
        """Forget the acknowledged totals of a journal that is gone."""

    def tend(self) -> None:
        """Free what killed processes held, and announce what a killed writer could not."""

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's handles."""
