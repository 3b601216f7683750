"""A host's store in one LMDB file, mapped by every process.

Organizations are kept twice while a snapshot arrives: it fills the database that stands by, and takes over in
one commit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from flux_middleware.beacon import GENERATION, Beacon
from flux_middleware.errors import StoreError
from flux_middleware.lmdb_file import LmdbFile, Transaction, reading
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
    encode,
)
from flux_middleware.store import (
    LOGGED_GENERATIONS,
    Counter,
    Synced,
    changed_organizations,
    following,
)

__all__ = ["LmdbStore", "look_into"]

_FORMAT = b"flux store 1"

_ORGANIZATIONS: Final = (b"organizations-0", b"organizations-1")
_NAMES: Final = (b"meta", *_ORGANIZATIONS, b"standings", b"acknowledged", b"log")
_HEAD = struct.Struct(">QB")  # generation, and which of the two organization databases answers
_COUNTER = struct.Struct(">I")
_TOTAL = struct.Struct(">Q")
_GENERATION = struct.Struct(">Q")


class _Standing(msgspec.Struct, frozen=True, array_like=True):
    """A standing as stored: its usage revision, when its period began, and how much."""

    revision: int
    period_start: int
    quantity: int


class LmdbStore:
    """The store in `directory`, shared with every process that opens the same one."""

    def __init__(self, directory: Path) -> None:
        self.beacon = Beacon(directory / "beacon")
        self._file = LmdbFile(directory, self.beacon, format_=_FORMAT, names=_NAMES)
        with self._file.transaction():
            pass

    def synced(self) -> Synced | None:
        with self._file.transaction() as transaction:
            return _counted(transaction)

    def catalog(self) -> tuple[int, Catalog | None]:
        with self._file.transaction() as transaction:
            generation, _ = _head(transaction)
            json = transaction.get(b"meta", b"catalog")
            return generation, None if json is None else decode(json, Catalog)

    def organization(self, organization: str) -> tuple[int, OrganizationRecord | None]:
        with self._file.transaction() as transaction:
            generation, active = _head(transaction)
            json = transaction.get(_ORGANIZATIONS[active], organization.encode())
            return generation, None if json is None else decode(json, OrganizationRecord)

    def changed_since(self, generation: int) -> tuple[int, frozenset[str] | None]:
        with self._file.transaction() as transaction:
            present, _ = _head(transaction)
            if not 0 <= present - generation <= LOGGED_GENERATIONS:
                return present, None
            changed: set[str] = set()
            for missed in range(generation + 1, present + 1):
                logged = transaction.get(b"log", _GENERATION.pack(missed))
                if not logged:
                    return present, None
                changed.update(decode(logged, list[str]))
            return present, frozenset(changed)

    def usage(
        self, organization: str, metric: str, counters: Iterable[Counter]
    ) -> tuple[UsageStanding | None, list[int]]:
        with self._file.transaction() as transaction:
            key = _standing_key(organization, metric)
            stored = transaction.get(b"standings", key)
            standing = None
            if stored is not None:
                kept = decode(stored, _Standing)
                standing = UsageStanding(organization, metric, kept.period_start, kept.quantity)
            totals = [transaction.get(b"acknowledged", _counter_key(*counter)) for counter in counters]
            return standing, [_TOTAL.unpack(total)[0] if total else 0 for total in totals]

    def acknowledged(self, source: str) -> dict[int, int]:
        with self._file.transaction() as transaction:
            return _acknowledged(transaction, source)

    @contextmanager
    def replacement(self, header: SnapshotHeader) -> Iterator[_Replacement]:
        with self._file.transaction(write=True) as transaction:
            _, active = _head(transaction)
            transaction.clear(_ORGANIZATIONS[not active])
        yield _Replacement(self, header, transaction.opened.incarnation)

    def put_by(self, records: Sequence[tuple[str, bytes]], incarnation: int) -> None:
        """Write organizations where nobody reads yet."""
        with self._file.transaction(write=True) as transaction:
            _require_same_file(transaction, incarnation)
            _, active = _head(transaction)
            for organization, json in records:
                transaction.put(_ORGANIZATIONS[not active], organization.encode(), json)

    def take_over(self, header: SnapshotHeader, incarnation: int) -> None:
        """Let what was put by answer from now on, under the header's catalog."""
        with self._committing() as transaction:
            _require_same_file(transaction, incarnation)
            before = _synced(transaction)
            now = following(before, header)
            if before is None or before.history != now.history:
                transaction.clear(b"standings")
                transaction.clear(b"acknowledged")
            transaction.put(b"meta", b"catalog", encode(header.catalog))
            transaction.put(b"meta", b"synced", encode(now))
            generation, active = _head(transaction)
            _put_head(transaction, generation, not active)
            self._advance(transaction, None)

    def apply(
        self, changes: Sequence[Change], usage: Sequence[UsageUpdate] = (), *, revision: int | None = None
    ) -> None:
        with self._committing() as transaction:
            synced = _synced(transaction)
            if synced is None:
                raise StoreError("the store was made anew; it needs a snapshot before changes")
            for update in usage:
                _keep(transaction, update.standings, update.usage_revision)
            _, active = _head(transaction)
            for change in changes:
                _change(transaction, _ORGANIZATIONS[active], change)
            now = msgspec.structs.replace(
                synced,
                revision=synced.revision if revision is None else revision,
                usage_revision=max([synced.usage_revision, *(each.usage_revision for each in usage)]),
            )
            transaction.put(b"meta", b"synced", encode(now))
            if changes:
                self._advance(transaction, changed_organizations(changes))

    def acknowledge(self, source: str, totals: Mapping[int, int], receipt: UsageReceipt) -> None:
        with self._file.transaction(write=True) as transaction:
            for place, total in totals.items():
                transaction.put(b"acknowledged", _counter_key(source, place), _TOTAL.pack(total))
            _keep(transaction, receipt.standings, receipt.usage_revision)

    def forget_source(self, source: str) -> None:
        with self._file.transaction(write=True) as transaction:
            for key, _ in list(transaction.beginning_with(b"acknowledged", _source_prefix(source))):
                transaction.delete(b"acknowledged", key)

    def tend(self) -> None:
        self._file.free_dead_readers()
        with self._file.transaction() as transaction:
            self.beacon.announce(_head(transaction)[0])

    def after_fork(self) -> None:
        self._file.after_fork()

    def _advance(self, transaction: Transaction, organizations: frozenset[str] | None) -> None:
        """Make the commit a new generation, which changed these organizations; all of them if None."""
        generation, active = _head(transaction)
        # A file made anew, or without its last commits after a crash of the machine, goes on where the other one
        # ended: nobody takes its generations for ones already seen.
        generation = max(generation, self.beacon.words[GENERATION]) + 1
        _put_head(transaction, generation, active)
        logged = b"" if organizations is None else msgspec.json.encode(list(organizations))
        transaction.put(b"log", _GENERATION.pack(generation), logged)
        if generation > LOGGED_GENERATIONS:
            transaction.delete(b"log", _GENERATION.pack(generation - LOGGED_GENERATIONS))

    @contextmanager
    def _committing(self) -> Iterator[Transaction]:
        """Write a new generation, and announce it once it is there to be read."""
        with self._file.transaction(write=True) as transaction:
            yield transaction
            generation, _ = _head(transaction)
        self.beacon.announce(generation)


def look_into(directory: Path, sources: Iterable[str]) -> tuple[Synced | None, dict[str, dict[int, int]]]:
    """Return how far the store has come, and what of these journals is acknowledged, without changing anything.

    Raises:
        StoreError: there is no such store, or it is damaged.
    """
    with reading(directory, format_=_FORMAT, names=_NAMES) as transaction:
        return _counted(transaction), {source: _acknowledged(transaction, source) for source in sources}


class _Replacement:
    def __init__(self, store: LmdbStore, header: SnapshotHeader, incarnation: int) -> None:
        self._store = store
        self._header = header
        self._incarnation = incarnation

    def add(self, records: Sequence[tuple[str, bytes]]) -> None:
        self._store.put_by(records, self._incarnation)

    def commit(self) -> None:
        self._store.take_over(self._header, self._incarnation)


def _require_same_file(transaction: Transaction, incarnation: int) -> None:
    if transaction.opened.incarnation != incarnation:
        raise StoreError(
            "the store was made anew; the snapshot must begin again, or its first part would be missing"
        )


def _head(transaction: Transaction) -> tuple[int, int]:
    stored = transaction.get(b"meta", b"head")
    return _HEAD.unpack(stored) if stored else (0, 0)


def _put_head(transaction: Transaction, generation: int, active: int) -> None:
    transaction.put(b"meta", b"head", _HEAD.pack(generation, active))


def _counted(transaction: Transaction) -> Synced | None:
    synced = _synced(transaction)
    if synced is None:
        return None
    _, active = _head(transaction)
    return msgspec.structs.replace(synced, organizations=transaction.count(_ORGANIZATIONS[active]))


def _acknowledged(transaction: Transaction, source: str) -> dict[int, int]:
    found = transaction.beginning_with(b"acknowledged", _source_prefix(source))
    return {_COUNTER.unpack(key[-_COUNTER.size :])[0]: _TOTAL.unpack(total)[0] for key, total in found}


def _synced(transaction: Transaction) -> Synced | None:
    stored = transaction.get(b"meta", b"synced")
    return None if stored is None else decode(stored, Synced)


def _change(transaction: Transaction, organizations: bytes, change: Change) -> None:
    if isinstance(change, CatalogChanged):
        transaction.put(b"meta", b"catalog", encode(change.catalog))
    elif isinstance(change, OrganizationChanged):
        transaction.put(organizations, change.record.id.encode(), encode(change.record))
    else:
        transaction.delete(organizations, change.organization.encode())


def _keep(transaction: Transaction, standings: Iterable[UsageStanding], revision: int) -> None:
    for standing in standings:
        key = _standing_key(standing.organization, standing.metric)
        stored = transaction.get(b"standings", key)
        if stored is None or decode(stored, _Standing).revision <= revision:
            kept = _Standing(revision, standing.period_start, standing.quantity)
            transaction.put(b"standings", key, encode(kept))


def _standing_key(organization: str, metric: str) -> bytes:
    return f"{organization}\0{metric}".encode()


def _source_prefix(source: str) -> bytes:
    return source.encode() + b"\0"


def _counter_key(source: str, place: int) -> bytes:
    return _source_prefix(source) + _COUNTER.pack(place)
