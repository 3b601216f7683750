"""Sends what journals have counted: totals, as often as it takes, until the server has acknowledged each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import filelock

from flux_middleware.conditions import Conditions
from flux_middleware.errors import ServerUnreachableError
from flux_middleware.journal import Entry
from flux_middleware.journals import JournalReader, Journals
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
    """
    try:
        with filelock.FileLock(directory / "draining.lock", blocking=False, mode=0o600):
            yield True
    except filelock.Timeout:
        yield False


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
        self._acknowledged: dict[str, dict[int, int]] = {}
        self._refused_until: dict[tuple[str, int], float] = {}
        self._instance: str | None = None

    def send(self, *, deadline: float | None = None) -> bool:
        """Send every total that changed, delete dead journals that are done; return whether all is acknowledged.

        Raises:
            TransportError: the server did not take a batch; nothing is lost.
            StoreError: what it took could not be noted; it will be sent again.
        """
        self._follow_instance()
        complete = True
        for reader in self._journals.readers():
            abandoned = self._journals.is_abandoned(reader)
            if abandoned:
                reader.catch_up()  # what its owner wrote last
            for pending in self._batches(reader):
                self._send_batch(reader, pending, deadline)
            done = self._is_done(reader)
            complete = complete and done
            if abandoned and done:
                self._remove(reader)
        return complete

    def _follow_instance(self) -> None:
        """Another database acknowledged nothing yet, whatever its predecessor did."""
        synced = self._store.synced()
        instance = synced.instance if synced else None
        if instance != self._instance:
            self._instance = instance
            self._acknowledged.clear()
            self._refused_until.clear()

    def _known(self, reader: JournalReader) -> dict[int, int]:
        known = self._acknowledged.get(reader.source)
        if known is None:
            known = self._acknowledged[reader.source] = self._store.acknowledged(reader.source)
        return known

    def _batches(self, reader: JournalReader) -> Iterator[_Pending]:
        known, now = self._known(reader), self._timer()
        batch: _Pending = []
        for entry in reader.entries:
            total = reader.total(entry)
            if total == known.get(entry.place, 0):
                continue
            if self._refused_until and self._refused_until.get((reader.source, entry.place), 0) > now:
                continue
            batch.append((entry, total))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _send_batch(self, reader: JournalReader, pending: _Pending, deadline: float | None) -> None:
        timeout = {} if deadline is None else {"timeout": deadline - self._timer()}
        if timeout and timeout["timeout"] <= 0:
            raise ServerUnreachableError("no time is left to send usage; it stays in the journal")
        slots = tuple(
            UsageSlot(entry.organization, entry.metric, entry.bucket, total) for entry, total in pending
        )
        receipt = self._transport.send_usage(UsageBatch(reader.source, slots), **timeout)
        refused = {error.index for error in receipt.errors}
        totals = {entry.place: total for index, (entry, total) in enumerate(pending) if index not in refused}
        self._store.acknowledge(reader.source, totals, receipt)
        self._known(reader).update(totals)
        for error in receipt.errors:
            self._refuse(reader, pending[error.index][0], error)
        self._note_taken(pending, receipt)

    def _refuse(self, reader: JournalReader, entry: Entry, error: SlotError) -> None:
        self._refused_until[reader.source, entry.place] = self._timer() + REFUSED_SECONDS
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

    def _is_done(self, reader: JournalReader) -> bool:
        known = self._known(reader)
        return all(reader.total(entry) == known.get(entry.place, 0) for entry in reader.entries)

    def _remove(self, reader: JournalReader) -> None:
        if reader.is_damaged:
            reader.set_aside()
            return
        reader.retire()
        self._store.forget_source(reader.source)
        self._acknowledged.pop(reader.source, None)
