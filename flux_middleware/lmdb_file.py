"""One LMDB file that every process of a host maps: opened once a process, never used across a fork.

A file that is damaged or not ours is set aside, and all processes go over to a new one: its *incarnation* is in the
beacon. A fork waits until no thread of the process is within a transaction.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from weakref import WeakSet, WeakValueDictionary

import lmdb

from flux_middleware.beacon import INCARNATION, Beacon
from flux_middleware.errors import InvalidRecordError, StoreError
from flux_middleware.locks import host_lock

__all__ = ["LmdbFile", "Transaction", "reading"]

_logger = logging.getLogger("flux")

_MAP_BYTES = 16 << 30
"""How large the file can become. Address space only: it is as large as what is in it."""

_MAX_READERS = 4_096
_OPENING_SECONDS = 10.0
_FORKING_SECONDS = 5.0

_DAMAGED: Final = (
    lmdb.BadDbiError,
    lmdb.BadTxnError,  # what LMDB says after it has met a damaged page
    lmdb.CorruptedError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    InvalidRecordError,
    struct.error,
)


class _OpenFile:
    """The file as this process has it open, with its databases by name."""

    def __init__(self, directory: Path, incarnation: int, format_: bytes, names: Sequence[bytes]) -> None:
        self.incarnation = incarnation
        self.pid = os.getpid()
        self.handle = lmdb.Environment(
            os.fspath(directory),
            map_size=_MAP_BYTES,
            mode=0o700,
            metasync=False,  # a crash of the machine may undo the last commits, and never damages the file
            readahead=False,
            max_readers=_MAX_READERS,
            max_dbs=len(names),
            max_spare_txns=0,  # a forked child would free the reader that its parent keeps in a spare one
        )
        self._reach(directory / "data.mdb")
        self.databases = {name: self.handle.open_db(name) for name in names}
        self._claim(format_)

    def _reach(self, path: Path) -> None:
        """Let the file reach as far as its pages do: to read beyond its end would kill the process.

        A whole one may be shorter: LMDB does not write pages that were freed by the commit that took them. Where
        one was cut off, what is missing reads as zeros, which are no page of LMDB's, and no JSON.
        """
        with self.handle.begin(write=True):  # nobody else writes meanwhile
            page = self.handle.stat()["psize"]
            size, reach = path.stat().st_size, (self.handle.info()["last_pgno"] + 1) * page
            if size % page:
                raise lmdb.CorruptedError("the file was cut off")
            if size < reach:
                os.truncate(path, reach)

    def _claim(self, format_: bytes) -> None:
        meta = self.databases[b"meta"]
        with self.handle.begin(db=meta) as transaction:
            if transaction.get(b"format") == format_:
                return
            if transaction.stat(meta)["entries"]:
                raise lmdb.InvalidError("the file belongs to something else")
        with self.handle.begin(db=meta, write=True) as transaction:
            transaction.put(b"format", format_)


_open_files: WeakValueDictionary[tuple[int, str], _OpenFile] = WeakValueDictionary()
"""By process and path: opening a file twice in one process would corrupt LMDB's locks."""

_files: WeakSet[LmdbFile] = WeakSet()


class _Transactions:
    """Counts this process's open transactions; a fork waits until there are none.

    What another thread had open at a fork, the child could neither close, as it would free the parent's reader, nor
    leave alone, as LMDB opens a file once a process.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._open = self._forks = 0

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait(_FORKING_SECONDS)
            self._open += 1

    def __exit__(self, *raised: object) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def before_fork(self) -> None:
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not self._open, _FORKING_SECONDS)

    def after_fork_in_parent(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        self.__init__()  # type: ignore[misc]  # other threads are gone, with whatever they held
        for file in list(_files):
            file.after_fork()


_transactions: Final = _Transactions()
os.register_at_fork(
    before=_transactions.before_fork,
    after_in_parent=_transactions.after_fork_in_parent,
    after_in_child=_transactions.after_fork_in_child,
)


class Transaction:
    """One moment of the file, or changes to it; a database is named, then a key."""

    __slots__ = ("_transaction", "opened")

    def __init__(self, opened: _OpenFile, transaction: lmdb.Transaction[bytes]) -> None:
        self.opened = opened
        self._transaction = transaction

    def get(self, database: bytes, key: bytes) -> bytes | None:
        """Return what the database has under the key."""
        return self._transaction.get(key, db=self.opened.databases[database])

    def put(self, database: bytes, key: bytes, value: bytes) -> None:
        """Put the value in the place of what is there."""
        self._transaction.put(key, value, db=self.opened.databases[database])

    def delete(self, database: bytes, key: bytes) -> None:
        """Take the key away, if it is there."""
        self._transaction.delete(key, db=self.opened.databases[database])

    def clear(self, database: bytes) -> None:
        """Take every key away."""
        self._transaction.drop(self.opened.databases[database], delete=False)

    def count(self, database: bytes) -> int:
        """Return how many keys there are."""
        return self._transaction.stat(self.opened.databases[database])["entries"]

    def beginning_with(self, database: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys that begin so, with their values."""
        cursor = self._transaction.cursor(self.opened.databases[database])
        if cursor.set_range(prefix):
            for key, value in cursor:
                if not key.startswith(prefix):
                    break
                yield key, value


class _UntouchedFile(_OpenFile):
    """The file as it is found."""

    def __init__(self, handle: lmdb.Environment, format_: bytes, names: Sequence[bytes]) -> None:
        self.handle = handle
        try:
            self.databases = {name: handle.open_db(name, create=False) for name in names}
        except lmdb.NotFoundError as error:
            raise lmdb.InvalidError("the file belongs to something else") from error
        with handle.begin(db=self.databases[b"meta"]) as transaction:
            if transaction.get(b"format") != format_:
                raise lmdb.InvalidError("the file belongs to something else")


@contextmanager
def reading(directory: Path, *, format_: bytes, names: Sequence[bytes]) -> Iterator[Transaction]:
    """See one moment of a file that is not to be made, mended or set aside: for whoever only looks.

    A damaged page can end the process: do it in one of its own.

    Raises:
        StoreError: there is no such file, or it is damaged.
    """
    try:
        handle = lmdb.Environment(
            os.fspath(directory), readonly=True, create=False, max_readers=_MAX_READERS, max_dbs=len(names)
        )
        with handle:
            opened = _UntouchedFile(handle, format_, names)
            with handle.begin() as transaction:
                yield Transaction(opened, transaction)
    except (lmdb.Error, *_DAMAGED) as error:
        raise StoreError(f"the local store in {directory} cannot be read: {error}") from error


class LmdbFile:
    """The file in `directory`, with databases of these `names`; it has to be of this `format_`, noted in `meta`."""

    def __init__(self, directory: Path, beacon: Beacon, *, format_: bytes, names: Sequence[bytes]) -> None:
        self._directory = directory
        self._beacon = beacon
        self._format = format_
        self._names = names
        self._opening = threading.Lock()
        self._open_file: _OpenFile | None = None
        _files.add(self)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Transaction]:
        """See one moment of the file, or write what others will see as a whole.

        Raises:
            StoreError: it cannot be done, or the file turned out to be damaged and was set aside.
        """
        with _transactions:
            opened = self._opened()
            try:
                with opened.handle.begin(write=write) as transaction:
                    yield Transaction(opened, transaction)
            except _DAMAGED as error:
                self._set_aside(opened.incarnation, error)
                raise StoreError(f"the local store was damaged, and is being made anew: {error}") from error
            except lmdb.Error as error:
                raise StoreError(
                    f"the local store in {self._directory} fails ({error}); see that the disk has room and that "
                    "this user may write there"
                ) from error

    def free_dead_readers(self) -> None:
        """Free what killed processes were reading."""
        with self.transaction() as transaction:
            transaction.opened.handle.reader_check()

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's file; LMDB's objects know that they were inherited."""
        self._opening = threading.Lock()
        self._open_file = None

    def _opened(self) -> _OpenFile:
        opened = self._usable()
        if opened is None:
            with self._opening:
                self._open_file = None  # closes what a parent had open: LMDB opens no file twice in a process
                self._open_file = opened = self._open()
        return opened

    def _usable(self) -> _OpenFile | None:
        opened = self._open_file
        if (
            opened is not None
            and opened.incarnation == self._beacon.words[INCARNATION]
            and opened.pid == os.getpid()  # uWSGI forks without telling Python
        ):
            return opened
        return None

    def _open(self) -> _OpenFile:
        with self._alone():
            incarnation = self._beacon.words[INCARNATION]
            key = (os.getpid(), os.path.realpath(self._directory))
            opened = _open_files.get(key)
            if opened is None or opened.incarnation != incarnation:
                try:
                    opened = _OpenFile(self._directory, incarnation, self._format, self._names)
                except _DAMAGED as error:
                    self._rename(error)
                    opened = _OpenFile(
                        self._directory, self._beacon.words[INCARNATION], self._format, self._names
                    )
                except (lmdb.Error, OSError) as error:
                    raise StoreError(f"cannot open the local store in {self._directory}: {error}") from error
                _open_files[key] = opened
            return opened

    def _set_aside(self, incarnation: int, error: Exception) -> None:
        with self._alone():
            if self._beacon.words[INCARNATION] == incarnation:  # otherwise another process was first
                self._rename(error)

    def _rename(self, error: Exception) -> None:
        data = self._directory / "data.mdb"
        aside = data.with_name("data.mdb.broken")
        _logger.error("the local store %s cannot be read (%s); set aside as %s", data, error, aside.name)
        os.replace(data, aside)
        (self._directory / "lock.mdb").unlink(missing_ok=True)
        self._beacon.words[INCARNATION] += 1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep this host's other processes from opening the file meanwhile."""
        try:
            with host_lock(self._directory / "opening.lock", timeout=_OPENING_SECONDS) as held:
                if not held:
                    raise TimeoutError("another process keeps it locked")
                yield
        except OSError as error:
            raise StoreError(f"cannot open the local store in {self._directory}: {error}") from error
