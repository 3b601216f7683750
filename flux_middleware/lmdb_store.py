"""A host's store in one LMDB file, mapped by every process.

Organizations are kept twice while a snapshot arrives: it fills the database that stands by, and takes over in
one commit. The file is opened once a process, as LMDB demands, and never used across a fork. A file that is
damaged or not ours is set aside, and all processes go over to a new one: its *incarnation* is in the beacon.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import filelock
import lmdb
import msgspec

from flux_middleware.beacon import GENERATION, INCARNATION, Beacon
from flux_middleware.errors import InvalidRecordError, StoreError
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
    is_other_history,
)

__all__ = ["LmdbStore"]

_logger = logging.getLogger("flux")

_MAP_BYTES = 16 << 30
"""How large the store can become. Address space only: the file is as large as what is in it."""

_MAX_READERS = 4_096
_OPENING_SECONDS = 10.0
_FORMAT = b"flux store 1"

_ORGANIZATIONS: Final = (b"organizations-0", b"organizations-1")
_NAMES: Final = (b"meta", *_ORGANIZATIONS, b"standings", b"acknowledged", b"log")
_HEAD = struct.Struct(">QB")  # generation, and which of the two organization databases answers
_COUNTER = struct.Struct(">I")
_TOTAL = struct.Struct(">Q")
_GENERATION = struct.Struct(">Q")

_Transaction: TypeAlias = "lmdb.Transaction[bytes]"

_DAMAGED: Final = (
    lmdb.BadDbiError,
    lmdb.CorruptedError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    InvalidRecordError,
    struct.error,
)


class _Standing(msgspec.Struct, frozen=True, array_like=True):
    """A standing as stored: its usage revision, when its period began, and how much."""

    revision: int
    period_start: int
    quantity: int


class _Environment:
    """One open file."""

    def __init__(self, directory: Path, incarnation: int) -> None:
        self.incarnation = incarnation
        self.handle = lmdb.Environment(
            os.fspath(directory),
            map_size=_MAP_BYTES,
            mode=0o700,
            metasync=False,  # a crash of the machine may undo the last commits, and never damages the file
            readahead=False,
            max_readers=_MAX_READERS,
            max_dbs=len(_NAMES),
            max_spare_txns=1,
        )
        if (self.handle.info()["last_pgno"] + 1) * self.handle.stat()["psize"] > _size(directory):
            raise lmdb.CorruptedError("the file was cut off")  # reading beyond its end would kill the process
        self.databases = {name: self.handle.open_db(name) for name in _NAMES}
        self._claim()

    def _claim(self) -> None:
        meta = self.databases[b"meta"]
        with self.handle.begin(db=meta) as transaction:
            if transaction.get(b"format") == _FORMAT:
                return
            if transaction.stat(meta)["entries"]:
                raise lmdb.InvalidError("the file belongs to something else")
        with self.handle.begin(db=meta, write=True) as transaction:
            transaction.put(b"format", _FORMAT)


_environments: WeakValueDictionary[tuple[int, str], _Environment] = WeakValueDictionary()
"""By process and path: opening a file twice in one process would corrupt LMDB's locks."""


class LmdbStore:
    """The store in `directory`, shared with every process that opens the same one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.beacon = Beacon(directory / "beacon")
        self._opening = threading.Lock()
        self._environment: _Environment | None = None
        with self._guarded() as environment, environment.handle.begin() as transaction:
            self.beacon.announce(_head(environment, transaction)[0])

    def synced(self) -> Synced | None:
        with self._guarded() as environment, environment.handle.begin() as transaction:
            synced = _synced(environment, transaction)
            if synced is None:
                return None
            _, active = _head(environment, transaction)
            organizations = transaction.stat(environment.databases[_ORGANIZATIONS[active]])["entries"]
            return msgspec.structs.replace(synced, organizations=organizations)

    def catalog(self) -> tuple[int, Catalog | None]:
        with self._guarded() as environment, environment.handle.begin() as transaction:
            generation, _ = _head(environment, transaction)
            json = transaction.get(b"catalog", db=environment.databases[b"meta"])
            return generation, None if json is None else decode(json, Catalog)

    def organization(self, organization: str) -> tuple[int, OrganizationRecord | None]:
        with self._guarded() as environment:
            with environment.handle.begin() as transaction:
                generation, active = _head(environment, transaction)
                database = environment.databases[_ORGANIZATIONS[active]]
                json = transaction.get(organization.encode(), db=database)
            return generation, None if json is None else decode(json, OrganizationRecord)

    def changed_since(self, generation: int) -> tuple[int, frozenset[str] | None]:
        with self._guarded() as environment, environment.handle.begin() as transaction:
            present, _ = _head(environment, transaction)
            if not 0 <= present - generation <= LOGGED_GENERATIONS:
                return present, None
            changed: set[str] = set()
            for missed in range(generation + 1, present + 1):
                logged = transaction.get(_GENERATION.pack(missed), db=environment.databases[b"log"])
                if not logged:
                    return present, None
                changed |= set(msgspec.json.decode(logged, type=list[str]))
            return present, frozenset(changed)

    def usage(
        self, organization: str, metric: str, counters: Iterable[Counter]
    ) -> tuple[UsageStanding | None, list[int]]:
        with self._guarded() as environment, environment.handle.begin() as transaction:
            key = _standing_key(organization, metric)
            stored = transaction.get(key, db=environment.databases[b"standings"])
            standing = None
            if stored is not None:
                kept = decode(stored, _Standing)
                standing = UsageStanding(organization, metric, kept.period_start, kept.quantity)
            database = environment.databases[b"acknowledged"]
            totals = [transaction.get(_counter_key(*counter), b"", db=database) for counter in counters]
            return standing, [_TOTAL.unpack(total)[0] if total else 0 for total in totals]

    def acknowledged(self, source: str) -> dict[int, int]:
        with self._guarded() as environment, environment.handle.begin() as transaction:
            found = _of_source(transaction.cursor(environment.databases[b"acknowledged"]), source)
            return {
                _COUNTER.unpack(key[-_COUNTER.size :])[0]: _TOTAL.unpack(total)[0] for key, total in found
            }

    @contextmanager
    def replacement(self, header: SnapshotHeader) -> Iterator[_Replacement]:
        with self._guarded() as environment, environment.handle.begin(write=True) as transaction:
            _, active = _head(environment, transaction)
            transaction.drop(environment.databases[_ORGANIZATIONS[not active]], delete=False)
        yield _Replacement(self, header)

    def put_by(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Write organizations where nobody reads yet."""
        with self._guarded() as environment, environment.handle.begin(write=True) as transaction:
            _, active = _head(environment, transaction)
            cursor = transaction.cursor(environment.databases[_ORGANIZATIONS[not active]])
            cursor.putmulti((organization.encode(), json) for organization, json in records)

    def take_over(self, header: SnapshotHeader) -> None:
        """Let what was put by answer from now on, under the header's catalog."""
        with self._committing() as (environment, transaction):
            synced = _synced(environment, transaction)
            usage_revision = synced.usage_revision if synced else 0
            if is_other_history(synced, header):
                usage_revision = 0
                transaction.drop(environment.databases[b"standings"], delete=False)
                transaction.drop(environment.databases[b"acknowledged"], delete=False)
            meta = environment.databases[b"meta"]
            transaction.put(b"catalog", encode(header.catalog), db=meta)
            now = Synced(header.environment, header.instance, header.revision, usage_revision)
            transaction.put(b"synced", encode(now), db=meta)
            generation, active = _head(environment, transaction)
            _put_head(environment, transaction, generation, not active)
            self._advance(environment, transaction, None)

    def apply(
        self, changes: Sequence[Change], usage: Sequence[UsageUpdate] = (), *, revision: int | None = None
    ) -> None:
        with self._committing() as (environment, transaction):
            synced = _synced(environment, transaction)
            if synced is None:
                raise StoreError("the store was made anew; it needs a snapshot before changes")
            for update in usage:
                _keep(environment, transaction, update.standings, update.usage_revision)
            _, active = _head(environment, transaction)
            for change in changes:
                _change(environment, transaction, _ORGANIZATIONS[active], change)
            now = msgspec.structs.replace(
                synced,
                revision=synced.revision if revision is None else revision,
                usage_revision=max([synced.usage_revision, *(each.usage_revision for each in usage)]),
            )
            transaction.put(b"synced", encode(now), db=environment.databases[b"meta"])
            if changes:
                self._advance(environment, transaction, changed_organizations(changes))

    def acknowledge(self, source: str, totals: Mapping[int, int], receipt: UsageReceipt) -> None:
        with self._committing() as (environment, transaction):
            database = environment.databases[b"acknowledged"]
            for place, total in totals.items():
                transaction.put(_counter_key(source, place), _TOTAL.pack(total), db=database)
            _keep(environment, transaction, receipt.standings, receipt.usage_revision)

    def forget_source(self, source: str) -> None:
        with self._committing() as (environment, transaction):
            cursor = transaction.cursor(environment.databases[b"acknowledged"])
            for key in [key for key, _ in _of_source(cursor, source)]:
                transaction.delete(key, db=environment.databases[b"acknowledged"])

    def tend(self) -> None:
        with self._guarded() as environment:
            environment.handle.reader_check()
            with environment.handle.begin() as transaction:
                self.beacon.announce(_head(environment, transaction)[0])

    def after_fork(self) -> None:
        # LMDB's own objects know that they were inherited, and leave the parent's locks and readers alone.
        self._opening = threading.Lock()
        self._environment = None

    def _advance(
        self, environment: _Environment, transaction: _Transaction, organizations: frozenset[str] | None
    ) -> None:
        """Make the commit a new generation, which changed these organizations; all of them if None."""
        generation, active = _head(environment, transaction)
        # A file made anew begins where the old one ended: nobody takes its generations for ones already seen.
        generation = max(generation, self.beacon.words[GENERATION] if generation == 0 else 0) + 1
        _put_head(environment, transaction, generation, active)
        log = environment.databases[b"log"]
        logged = b"" if organizations is None else msgspec.json.encode(list(organizations))
        transaction.put(_GENERATION.pack(generation), logged, db=log)
        if generation > LOGGED_GENERATIONS:
            transaction.delete(_GENERATION.pack(generation - LOGGED_GENERATIONS), db=log)

    @contextmanager
    def _committing(self) -> Iterator[tuple[_Environment, _Transaction]]:
        with self._guarded() as environment:
            with environment.handle.begin(write=True) as transaction:
                yield environment, transaction
                generation, _ = _head(environment, transaction)
            self.beacon.announce(generation)

    @contextmanager
    def _guarded(self) -> Iterator[_Environment]:
        environment = self._opened()
        try:
            yield environment
        except _DAMAGED as error:
            self._set_aside(environment.incarnation, error)
            raise StoreError(f"the local store was damaged, and is being made anew: {error}") from error
        except lmdb.Error as error:
            raise StoreError(f"the local store in {self._directory} fails: {error}") from error

    def _opened(self) -> _Environment:
        environment = self._environment
        if environment is not None and environment.incarnation == self.beacon.words[INCARNATION]:
            return environment
        with self._opening:
            self._environment = environment = self._open()
            return environment

    def _open(self) -> _Environment:
        with self._alone():
            incarnation = self.beacon.words[INCARNATION]
            key = (os.getpid(), os.path.realpath(self._directory))
            environment = _environments.get(key)
            if environment is None or environment.incarnation != incarnation:
                try:
                    environment = _Environment(self._directory, incarnation)
                except _DAMAGED as error:
                    self._rename(error)
                    environment = _Environment(self._directory, self.beacon.words[INCARNATION])
                except (lmdb.Error, OSError) as error:
                    raise StoreError(f"cannot open the local store in {self._directory}: {error}") from error
                _environments[key] = environment
            return environment

    def _set_aside(self, incarnation: int, error: Exception) -> None:
        with self._alone():
            if self.beacon.words[INCARNATION] == incarnation:  # otherwise another process was first
                self._rename(error)

    def _rename(self, error: Exception) -> None:
        data = self._directory / "data.mdb"
        aside = data.with_name("data.mdb.broken")
        _logger.error("the local store %s cannot be read (%s); set aside as %s", data, error, aside.name)
        os.replace(data, aside)
        (self._directory / "lock.mdb").unlink(missing_ok=True)
        self.beacon.words[INCARNATION] += 1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep this host's other processes from opening the file meanwhile."""
        try:
            with filelock.FileLock(self._directory / "opening.lock", timeout=_OPENING_SECONDS, mode=0o600):
                yield
        except (filelock.Timeout, OSError) as error:
            raise StoreError(f"cannot open the local store in {self._directory}: {error}") from error


class _Replacement:
    def __init__(self, store: LmdbStore, header: SnapshotHeader) -> None:
        self._store = store
        self._header = header

    def add(self, records: Sequence[tuple[str, bytes]]) -> None:
        self._store.put_by(records)

    def commit(self) -> None:
        self._store.take_over(self._header)


def _size(directory: Path) -> int:
    return (directory / "data.mdb").stat().st_size


def _head(environment: _Environment, transaction: _Transaction) -> tuple[int, int]:
    stored = transaction.get(b"head", db=environment.databases[b"meta"])
    return _HEAD.unpack(stored) if stored else (0, 0)


def _put_head(environment: _Environment, transaction: _Transaction, generation: int, active: int) -> None:
    transaction.put(b"head", _HEAD.pack(generation, active), db=environment.databases[b"meta"])


def _synced(environment: _Environment, transaction: _Transaction) -> Synced | None:
    stored = transaction.get(b"synced", db=environment.databases[b"meta"])
    return None if stored is None else decode(stored, Synced)


def _change(
    environment: _Environment, transaction: _Transaction, organizations: bytes, change: Change
) -> None:
    database = environment.databases[organizations]
    if isinstance(change, CatalogChanged):
        transaction.put(b"catalog", encode(change.catalog), db=environment.databases[b"meta"])
    elif isinstance(change, OrganizationChanged):
        transaction.put(change.record.id.encode(), encode(change.record), db=database)
    else:
        transaction.delete(change.organization.encode(), db=database)


def _keep(
    environment: _Environment,
    transaction: _Transaction,
    standings: Iterable[UsageStanding],
    revision: int,
) -> None:
    database = environment.databases[b"standings"]
    for standing in standings:
        key = _standing_key(standing.organization, standing.metric)
        stored = transaction.get(key, db=database)
        if stored is None or decode(stored, _Standing).revision <= revision:
            kept = _Standing(revision, standing.period_start, standing.quantity)
            transaction.put(key, encode(kept), db=database)


def _standing_key(organization: str, metric: str) -> bytes:
    return f"{organization}\0{metric}".encode()


def _counter_key(source: str, place: int) -> bytes:
    return source.encode() + b"\0" + _COUNTER.pack(place)


def _of_source(cursor: lmdb.Cursor[bytes], source: str) -> Iterator[tuple[bytes, bytes]]:
    prefix = source.encode() + b"\0"
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not key.startswith(prefix):
                break
            yield key, value
