"""Usage counters of one process, without files: for tests."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

from flux_middleware.journal import Entry, Journal
from flux_middleware.journals import JournalReader, Journals

__all__ = ["MemoryJournal", "MemoryJournals"]

_NOWHERE: Final = Path(os.devnull)  # holds no files, and nobody can put one there


class MemoryJournal(Journal):
    """Counts in memory that goes with the process."""

    def __init__(self, environment: str) -> None:
        super().__init__(_NOWHERE, environment)
        self.counters: dict[tuple[str, str, int], memoryview] = {}

    def _find(self, organization: str, metric: str, bucket: int) -> tuple[memoryview, int]:
        key = (organization, metric, bucket)
        if key not in self.counters:
            self.counters[key] = memoryview(bytearray(8)).cast("q")
        return self.counters[key], 0

    def totals(self) -> dict[tuple[str, str], int]:
        """Return what was counted in all, by organization and metric; nothing of what was only counted as 0."""
        totals: Counter[tuple[str, str]] = Counter()
        for (organization, metric, _), counter in list(self.counters.items()):
            totals[organization, metric] += counter[0]
        return dict(+totals)


class MemoryJournals(Journals):
    """The one journal there is."""

    def __init__(self, journal: MemoryJournal, environment: str) -> None:
        super().__init__(_NOWHERE, environment)
        self._reader = _Reader(journal)

    def readers(self) -> list[JournalReader]:
        """Return the journal's reader, caught up."""
        self._reader.catch_up()
        return [self._reader]


class _Reader(JournalReader):
    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.source = "memory"
        self.entries: list[Entry] = []
        self.by_pair: dict[tuple[str, str], list[Entry]] = {}

    def catch_up(self) -> None:
        for organization, metric, bucket in list(self._journal.counters)[len(self.entries) :]:
            entry = Entry(len(self.entries), organization, metric, bucket)
            self.entries.append(entry)
            self.by_pair.setdefault((organization, metric), []).append(entry)

    def total(self, entry: Entry) -> int:
        total: int = self._journal.counters[entry.organization, entry.metric, entry.bucket][0]
        return total

    @property
    def is_retired(self) -> bool:
        return False
