"""Crash-proof counters: a memory-mapped file a process, whose pages the kernel keeps when the process dies.

A file begins with a header of eight-byte words: magic, version, end, retired; then source id and environment.
Entries follow and are never moved: total, bucket, checksum and lengths, then organization and metric. An entry
counts once `end` lies behind it, and that word is written last, so killing the process at any instruction leaves
whole entries. The living owner holds a lock on its file (`flock`), which the kernel lets go of when it dies.

A file is made under another name and gets its own when it is complete. It is full, or its hour is over: then
the process goes on in a new one, under a new source id, and leaves the old one to be sent and deleted.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flux_middleware.errors import InvalidQuantityError, JournalError
from flux_middleware.files import allocate
from flux_middleware.periods import HOUR
from flux_middleware.slot import Slot

__all__ = [
    "END",
    "FIRST_ENTRY",
    "HEADER",
    "MAGIC",
    "NEW",
    "RETIRED",
    "SUFFIX",
    "VERSION",
    "Entry",
    "Journal",
    "read_entry",
]

MAGIC: Final = b"FluxJrnl"
VERSION: Final = 1
SUFFIX: Final = ".journal"
NEW: Final = ".new"
HEADER: Final = struct.Struct("=8sqqq32s32s")  # magic, version, end, retired, source, environment
FIRST_ENTRY: Final = 128
END: Final = 2
"""Index of the word that says where the entries end, in bytes."""
RETIRED: Final = 3
"""Index of the word that is 1 once all totals are acknowledged and the file is about to go."""

_ENTRY: Final = struct.Struct("=qqIHH")  # total, bucket, checksum of what it counts, lengths of the two names
_SMALLEST = 1 << 18
_LARGEST = 1 << 26
_LARGEST_TOTAL: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One counter as it stands in a file: where, and what it counts. The total is the word at `place`."""

    place: int
    organization: str
    metric: str
    bucket: int


class Journal:
    """This process's counters. Add to a slot only under `lock`, and only in the process `pid`."""

    def __init__(self, directory: Path, environment: str) -> None:
        self.directory = directory
        self._environment = environment
        self._size = _SMALLEST
        self._begin_process()

    def _begin_process(self) -> None:
        self.pid = os.getpid()
        # Reentrant: a signal handler that records usage must not wait for the thread it interrupted.
        self.lock = threading.RLock()
        self._file: _File | None = None
        self._is_busy = False
        self._interrupting: Journal | None = None

    def count(self, organization: str, metric: str, bucket: int, until: float, quantity: int) -> Slot:
        """Add to the counter of (organization, metric) in the bucket that ends at `until`; return it for the next time.

        Raises:
            InvalidQuantityError: a counter cannot become that large.
            JournalError: a new file is needed and cannot be made.
        """
        with self.lock:
            if self._is_busy:  # a signal handler interrupted these very lines; it counts in a file of its own
                self._interrupting = self._interrupting or Journal(self.directory, self._environment)
                return self._interrupting.count(organization, metric, bucket, until, quantity)
            self._is_busy = True
            try:
                slot = Slot(*self._find(organization, metric, bucket), until)
                if slot.counters[slot.index] + quantity > _LARGEST_TOTAL:
                    raise InvalidQuantityError(metric, quantity)
                slot.counters[slot.index] += quantity
                return slot
            finally:
                self._is_busy = False

    def close(self) -> None:
        """Leave the file to whoever sends it; the next count begins another."""
        with self.lock:
            if self._interrupting is not None:
                self._interrupting.close()
            if self._file is not None and not self._is_busy:
                self._file.close()
                self._file = None

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's file, and of a lock that one of its threads may hold."""
        inherited, interrupting = self._file, self._interrupting
        self._begin_process()
        if inherited is not None:
            inherited.close()
        if interrupting is not None:
            interrupting.after_fork()

    def _find(self, organization: str, metric: str, bucket: int) -> tuple[memoryview, int]:
        file = self._file
        if file is None or bucket // HOUR > file.hour:
            file = self._rotate(bucket)
        index = file.find(organization, metric, bucket)
        if index is None:
            self._size = min(self._size * 2, _LARGEST)
            file = self._rotate(bucket)
            index = file.find(organization, metric, bucket)
            assert index is not None, "an entry fits the smallest file"
        return file.words, index

    def _rotate(self, bucket: int) -> _File:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._file = _File(self.directory, self._environment, self._size, bucket // HOUR)
        return self._file


class _File:
    """A file that this process adds to."""

    def __init__(self, directory: Path, environment: str, size: int, hour: int) -> None:
        self.hour = hour
        self._indexes: dict[tuple[str, str, int], int] = {}
        self._size = size
        source = secrets.token_hex(16)
        path = directory / f"{source}{SUFFIX}"
        try:
            self._descriptor = os.open(
                f"{path}{NEW}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                allocate(self._descriptor, size)
                self._map = mmap.mmap(self._descriptor, size)
                HEADER.pack_into(
                    self._map, 0, MAGIC, VERSION, FIRST_ENTRY, 0, source.encode(), environment.encode()
                )
                os.rename(f"{path}{NEW}", path)
            except OSError:
                os.close(self._descriptor)
                os.unlink(f"{path}{NEW}")
                raise
        except OSError as error:
            raise JournalError(
                f"cannot count usage in {directory} ({error}); see that the disk has room and that this user may "
                "write there, or set FLUX_DIRECTORY"
            ) from error
        self.words = memoryview(self._map).cast("q")

    def find(self, organization: str, metric: str, bucket: int) -> int | None:
        """Return the counter's index; of a new one if there is none yet, or None if the file is full."""
        key = (organization, metric, bucket)
        index = self._indexes.get(key)
        return self._append(*key) if index is None else index

    def _append(self, organization: str, metric: str, bucket: int) -> int | None:
        names = (organization.encode(), metric.encode())
        size = _padded(_ENTRY.size + sum(map(len, names)))
        place = self.words[END]
        if place + size > self._size:
            return None
        checksum = _checksum(bucket, *names)
        _ENTRY.pack_into(self._map, place, 0, bucket, checksum, *map(len, names))
        self._map[place + _ENTRY.size : place + _ENTRY.size + len(names[0]) + len(names[1])] = b"".join(names)
        self.words[END] = place + size
        self._indexes[organization, metric, bucket] = place // 8
        return place // 8

    def close(self) -> None:
        # Slots that threads still hold have this view: adding through it fails from here on, and they ask anew.
        self.words.release()
        self._map.close()
        os.close(self._descriptor)


def read_entry(source: mmap.mmap, place: int, end: int) -> tuple[Entry, int] | None:
    """Return the entry at `place` and the place after it; None if it is damaged."""
    if place + _ENTRY.size > end:
        return None
    _, bucket, checksum, *lengths = _ENTRY.unpack_from(source, place)
    first = place + _ENTRY.size
    after = place + _padded(_ENTRY.size + sum(lengths))
    organization, metric = (
        source[first : first + lengths[0]],
        source[first + lengths[0] : first + sum(lengths)],
    )
    if after > end or checksum != _checksum(bucket, organization, metric):
        return None
    return Entry(place, organization.decode(), metric.decode(), bucket), after


def _padded(size: int) -> int:
    return size + -size % 8


def _checksum(bucket: int, organization: bytes, metric: bytes) -> int:
    return zlib.crc32(b"%d\0%b\0%b" % (bucket, organization, metric))
