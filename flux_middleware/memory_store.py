"""A store of one process, without files: for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from flux_middleware.beacon import Beacon
from flux_middleware.errors import StoreError
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
    decode,
)
from flux_middleware.store import (
    LOGGED_GENERATIONS,
    Counter,
    Synced,
    changed_organizations,
    following,
)

__all__ = ["MemoryStore"]

_Standings = dict[tuple[str, str], tuple[int, UsageStanding]]  # with the usage revision each is of


class MemoryStore:
    """Keeps everything in dicts, under one lock."""

    def __init__(self) -> None:
        self.beacon = Beacon()
        self._lock = threading.RLock()
        self._generation = 0
        self._synced: Synced | None = None
        self._catalog: Catalog | None = None
        self._organizations: dict[str, OrganizationRecord] = {}
        self._standings: _Standings = {}
        self._acknowledged: dict[str, dict[int, int]] = {}
        self._log: dict[int, frozenset[str] | None] = {}

    def synced(self) -> Synced | None:
        with self._lock:
            if self._synced is None:
                return None
            return msgspec.structs.replace(self._synced, organizations=len(self._organizations))

    def catalog(self) -> tuple[int, Catalog | None]:
        with self._lock:
            return self._generation, self._catalog

    def organization(self, organization: str) -> tuple[int, OrganizationRecord | None]:
        with self._lock:
            return self._generation, self._organizations.get(organization)

    def changed_since(self, generation: int) -> tuple[int, frozenset[str] | None]:
        with self._lock:
            if generation > self._generation:
                return self._generation, None
            changed: set[str] = set()
            for missed in range(generation + 1, self._generation + 1):
                organizations = self._log.get(missed)
                if organizations is None:
                    return self._generation, None
                changed |= organizations
            return self._generation, frozenset(changed)

    def usage(
        self, organization: str, metric: str, counters: Iterable[Counter]
    ) -> tuple[UsageStanding | None, list[int]]:
        with self._lock:
            _, standing = self._standings.get((organization, metric), (0, None))
            return standing, [self._acknowledged.get(source, {}).get(place, 0) for source, place in counters]

    def acknowledged(self, source: str) -> dict[int, int]:
        with self._lock:
            return dict(self._acknowledged.get(source, {}))

    @contextmanager
    def replacement(self, header: SnapshotHeader) -> Iterator[_Replacement]:
        yield _Replacement(self, header)

    def replace(self, header: SnapshotHeader, organizations: dict[str, OrganizationRecord]) -> None:
        """Take over a whole snapshot."""
        with self._lock:
            before, self._synced = self._synced, following(self._synced, header)
            if before is None or before.history != self._synced.history:
                self._standings.clear()
                self._acknowledged.clear()
            self._catalog, self._organizations = header.catalog, organizations
            self._advance(None)

    def apply(
        self, changes: Sequence[Change], usage: Sequence[UsageUpdate] = (), *, revision: int | None = None
    ) -> None:
        with self._lock:
            if self._synced is None:
                raise StoreError("the store was made anew; it needs a snapshot before changes")
            for update in usage:
                self._keep(update.standings, update.usage_revision)
            for change in changes:
                self._change(change)
            self._synced = msgspec.structs.replace(
                self._synced,
                revision=self._synced.revision if revision is None else revision,
                usage_revision=max([self._synced.usage_revision, *(each.usage_revision for each in usage)]),
            )
            if changes:
                self._advance(changed_organizations(changes))

    def acknowledge(self, source: str, totals: Mapping[int, int], receipt: UsageReceipt) -> None:
        with self._lock:
            self._acknowledged.setdefault(source, {}).update(totals)
            self._keep(receipt.standings, receipt.usage_revision)

    def forget_source(self, source: str) -> None:
        with self._lock:
            self._acknowledged.pop(source, None)

    def tend(self) -> None:
        self.beacon.announce(self._generation)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def _change(self, change: Change) -> None:
        if isinstance(change, CatalogChanged):
            self._catalog = change.catalog
        elif isinstance(change, OrganizationChanged):
            self._organizations[change.record.id] = change.record
        else:
            self._organizations.pop(change.organization, None)

    def _keep(self, standings: Iterable[UsageStanding], revision: int) -> None:
        for standing in standings:
            pair = (standing.organization, standing.metric)
            if revision >= self._standings.get(pair, (0, None))[0]:
                self._standings[pair] = (revision, standing)

    def _advance(self, organizations: frozenset[str] | None) -> None:
        self._generation += 1
        self._log[self._generation] = organizations
        self._log.pop(self._generation - LOGGED_GENERATIONS, None)
        self.beacon.announce(self._generation)


class _Replacement:
    def __init__(self, store: MemoryStore, header: SnapshotHeader) -> None:
        self._store = store
        self._header = header
        self._organizations: dict[str, OrganizationRecord] = {}

    def add(self, records: Sequence[tuple[str, bytes]]) -> None:
        self._organizations.update((id_, decode(json, OrganizationRecord)) for id_, json in records)

    def commit(self) -> None:
        self._store.replace(self._header, self._organizations)
