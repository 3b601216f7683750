"""Sends what journals have counted: totals, as often as it takes, until the server has acknowledged each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flux_middleware.conditions import Conditions
from flux_middleware.errors import ServerUnreachableError, StoreError
from flux_middleware.journal import Entry
from flux_middleware.journals import JournalReader, Journals
from flux_middleware.locks import host_lock
from flux_middleware.snapshot import SlotError, UsageBatch, UsageReceipt, UsageSlot
from flux_middleware.store import Store
from flux_middleware.transport import Transport

__all__ = ["Drain", "drain_turn"]

BATCH: Final = 500
"""Slots sent, and committed, at once."""

REFUSED_SECONDS: Final = 60.0
"""How long a slot waits that the server would not take, such as one of a metric that is not defined yet."""

_Pending = list[tuple[Entry, int]]


@contextmanager
def drain_turn(directory: Path) -> Iterator[bool]:
    """Say whether it is this caller's turn to send or to take in standings, and keep others waiting meanwhile.

    Between the server's taking a total and our noting so, the total must not be counted a second time as part
    of a standing that arrives by the stream.

    Raises:
        StoreError: turns cannot be taken there.
    """
    with ExitStack() as holding:
        try:
            turn = holding.enter_context(host_lock(directory / "draining.lock"))
        except OSError as error:
            raise StoreError(f"this host's processes cannot take turns in {directory}: {error}") from error
        yield turn


@dataclass(frozen=True, slots=True)
class _Progress:
    """What the server has taken of a journal's counters, by place, and until when it is not asked again."""

    taken: dict[int, int]
    refused_until: dict[int, float]


class Drain:
    """Sends the journals of one directory. Hold the `drain_turn` while calling it."""

    def __init__(
        self,
        store: Store,
        journals: Journals,
        transport: Transport,
        *,
        conditions: Conditions,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._journals = journals
        self._transport = transport
        self._conditions = conditions
        self._timer = timer
        self._progress: dict[str, _Progress] = {}
        self._history: str | None = None

    def send(self, *, deadline: float | None = None) -> bool:
        """Send every total that changed, delete dead journals that are done.

        Returns:
            Whether the server has now acknowledged everything that was counted before.

        Raises:
            TransportError: the server did not take a batch; nothing is lost.
            StoreError: what the server took could not be noted; it will be sent again.
        """
        self._follow_history()
        readers = self._journals.readers()
        progress = {reader.source: self._progress_of(reader) for reader in readers}
        self._progress = progress
        complete = [self._send_journal(reader, progress[reader.source], deadline) for reader in readers]
        return all(complete)

    def _follow_history(self) -> None:
        """In another history, the server acknowledged nothing yet, whatever it did before."""
        synced = self._store.synced()
        history = synced.history if synced else None
        if history != self._history:
            self._history = history
            self._progress.clear()

    def _progress_of(self, reader: JournalReader) -> _Progress:
        known = self._progress.get(reader.source)
        return known or _Progress(self._store.acknowledged(reader.source), {})

    def _send_journal(self, reader: JournalReader, progress: _Progress, deadline: float | None) -> bool:
        abandoned = self._journals.is_abandoned(reader)
        if abandoned:
            reader.catch_up()  # what its owner wrote last
        for pending in self._batches(reader, progress):
            self._send_batch(reader, progress, pending, deadline)
        if progress.refused_until:
            return False
        if abandoned:
            self._remove(reader)
        return not reader.is_damaged

    def _batches(self, reader: JournalReader, progress: _Progress) -> Iterator[_Pending]:
        now = self._timer()
        batch: _Pending = []
        for entry in reader.entries:
            total = reader.total(entry)
            if total == progress.taken.get(entry.place, 0):
                continue
            if progress.refused_until.get(entry.place, now) > now:
                continue
            batch.append((entry, total))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _send_batch(
        self, reader: JournalReader, progress: _Progress, pending: _Pending, deadline: float | None
    ) -> None:
        timeout = {} if deadline is None else {"timeout": deadline - self._timer()}
        if timeout and timeout["timeout"] <= 0:
            raise ServerUnreachableError("no time is left to send usage; it stays in the journal")
        slots = tuple(
            UsageSlot(entry.organization, entry.metric, entry.bucket, total) for entry, total in pending
        )
        receipt = self._transport.send_usage(UsageBatch(reader.source, slots), **timeout)
        refused = {error.index for error in receipt.errors}
        taken = {entry.place: total for index, (entry, total) in enumerate(pending) if index not in refused}
        self._store.acknowledge(reader.source, taken, receipt)
        progress.taken.update(taken)
        for place in taken:
            progress.refused_until.pop(place, None)
        for error in receipt.errors:
            self._refuse(pending[error.index][0], progress, error)
        self._note_taken(pending, receipt)

    def _refuse(self, entry: Entry, progress: _Progress, error: SlotError) -> None:
        progress.refused_until[entry.place] = self._timer() + REFUSED_SECONDS
        self._conditions.begin(
            f"refused {entry.metric}",
            error.code,
            "the server does not take usage of %r (%s: %s); it is kept, and sent again every %d seconds",
            entry.metric,
            error.code,
            error.detail,
            int(REFUSED_SECONDS),
        )

    def _note_taken(self, pending: _Pending, receipt: UsageReceipt) -> None:
        refused = {pending[error.index][0].metric for error in receipt.errors}
        for metric in {entry.metric for entry, _ in pending} - refused:
            self._conditions.end(f"refused {metric}", "the server takes usage of %r again", metric)

    def _remove(self, reader: JournalReader) -> None:
        if reader.is_damaged:
            reader.set_aside()
        else:
            reader.retire()
        self._store.forget_source(reader.source)
