"""All usage journals of a host, living and dead: what they hold, and what became of their owners."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flux_middleware.journal import (
    END,
    FIRST_ENTRY,
    HEADER,
    MAGIC,
    NEW,
    RETIRED,
    SUFFIX,
    VERSION,
    Entry,
    read_entry,
)

__all__ = ["JournalReader", "Journals", "NewerJournalError"]

_logger = logging.getLogger("flux")

_BROKEN = ".broken"
_TORN_SECONDS = 60.0
"""A file that is still under its first name after this long was never finished."""


class JournalReader:
    """One journal, read while its owner may be adding to it. `entries` are those found by `catch_up`."""

    def __init__(self, path: Path, environment: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        if len(self._map) < FIRST_ENTRY or len(self._map) % 8 or self._map[: len(MAGIC)] != MAGIC:
            raise ValueError("it is not a usage journal")
        _, version, _, _, source, of_environment = HEADER.unpack_from(self._map)
        if version > VERSION:
            raise NewerJournalError
        if of_environment.rstrip(b"\0") != environment.encode():
            raise ValueError("it belongs to another environment")
        self.path = path
        self.source: str = source.decode()
        self.entries: list[Entry] = []
        self.by_pair: dict[tuple[str, str], list[Entry]] = {}
        self.is_damaged = False
        self._words = memoryview(self._map).cast("q")
        self._read_to = FIRST_ENTRY

    def catch_up(self) -> None:
        """Read the entries that were added since."""
        end = min(self._words[END], len(self._map))
        while self._read_to < end and not self.is_damaged:
            found = read_entry(self._map, self._read_to, end)
            if found is None:
                self.is_damaged = True
                _logger.error("usage journal %s is damaged from byte %d on", self.path, self._read_to)
                return
            entry, self._read_to = found
            self.entries.append(entry)
            self.by_pair.setdefault((entry.organization, entry.metric), []).append(entry)

    def total(self, entry: Entry) -> int:
        """Return what the counter has counted."""
        total: int = self._words[entry.place // 8]
        return total

    @property
    def is_retired(self) -> bool:
        """Whether every total is acknowledged for good, and the file about to be deleted."""
        return bool(self._words[RETIRED])

    def retire(self) -> None:
        """Say that every total is acknowledged, and take the file away."""
        # Whoever still reads the file must know before the acknowledged totals are forgotten.
        self._words[RETIRED] = 1
        self.path.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Keep the file for a person to look at, where nobody reads it again."""
        self._words[RETIRED] = 1
        _set_aside(self.path, "its last entries are damaged")

    def close(self) -> None:
        self._words.release()
        self._map.close()


class Journals:
    """The journals in a directory. Not for several threads at once."""

    def __init__(self, directory: Path, environment: str) -> None:
        self.directory = directory
        self.environment = environment
        self._readers: dict[str, JournalReader] = {}
        self._skipped: set[str] = set()

    def readers(self) -> list[JournalReader]:
        """Return a reader, caught up, of every journal there is at the moment."""
        names = {path.name for path in self.directory.glob(f"*{SUFFIX}")}  # none, if the directory is gone
        for gone in self._readers.keys() - names:
            self._readers.pop(gone).close()
        for name in names - self._readers.keys() - self._skipped:
            self._open(name)
        for reader in self._readers.values():
            reader.catch_up()
        return list(self._readers.values())

    def is_abandoned(self, reader: JournalReader) -> bool:
        """Say whether the journal's owner died, or left it."""
        with _owned(reader.path) as owned:
            return owned

    def remove_torn(self) -> None:
        """Delete files whose owner died while making them: nothing was recorded in them yet."""
        for path in self.directory.glob(f"*{NEW}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _TORN_SECONDS and self._is_ownerless(path):
                    path.unlink()

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _open(self, name: str) -> None:
        path = self.directory / name
        try:
            self._readers[name] = JournalReader(path, self.environment)
        except FileNotFoundError:  # sent and deleted meanwhile
            return
        except NewerJournalError:
            self._skipped.add(name)
            _logger.warning("usage journal %s is of a newer flux-middleware, which will send it", path)
        except ValueError as error:
            _set_aside(path, str(error))
        except OSError as error:
            self._skipped.add(name)
            _logger.error("usage journal %s cannot be opened: %s; restart to try again", path, error)

    @staticmethod
    def _is_ownerless(path: Path) -> bool:
        with _owned(path) as owned:
            return owned


class NewerJournalError(Exception):
    """The journal is of a newer version of this library, which knows what to do with it."""


@contextmanager
def _owned(path: Path) -> Iterator[bool]:
    """Hold the file's lock, if no living process does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _set_aside(path: Path, why: str) -> None:
    with suppress(FileNotFoundError):
        os.replace(path, f"{path}{_BROKEN}")
        _logger.error("usage journal %s cannot be read: %s; set aside as %s%s", path, why, path.name, _BROKEN)
