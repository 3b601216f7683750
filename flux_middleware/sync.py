"""Follows the server into the store: a snapshot, then every change, and the certainty that none was missed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final, TypeVar

import msgspec

from flux_middleware.beacon import CONTACT
from flux_middleware.errors import ServerUnreachableError, TransportError
from flux_middleware.snapshot import (
    Change,
    Heartbeat,
    Hello,
    OrganizationRecord,
    SnapshotEnd,
    SnapshotHeader,
    SnapshotLine,
    UsageUpdate,
    require_schema,
)
from flux_middleware.store import Store, Synced
from flux_middleware.transport import StreamEvent, Transport

__all__ = ["Sync"]

BATCH: Final = 500
"""Organizations decoded and committed at once; more would keep the interpreter from other threads."""

_lines: Final[msgspec.json.Decoder[SnapshotLine]] = msgspec.json.Decoder(SnapshotLine)
_changes: Final[msgspec.json.Decoder[Change]] = msgspec.json.Decoder(Change)
_hellos: Final = msgspec.json.Decoder(Hello)
_heartbeats: Final = msgspec.json.Decoder(Heartbeat)
_updates: Final = msgspec.json.Decoder(UsageUpdate)

_T = TypeVar("_T")


class _ResyncNeeded(Exception):  # noqa: N818  says what to do, not what failed
    """The stream cannot lead from where the store is to the present."""


class _PushMissed(Exception):  # noqa: N818
    """The server is ahead, and does not send what lies between."""


class Sync:
    """Keeps the store up with one environment of one server."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        environment: str,
        *,
        clock: Callable[[], float],
        heartbeat: float,
        usage_turn: Callable[[], AbstractContextManager[bool]],
    ) -> None:
        self._store = store
        self._transport = transport
        self._environment = environment
        self._clock = clock
        self._heartbeat = heartbeat
        self._usage_turn = usage_turn
        self._revision = 0
        self._behind_at: int | None = None
        self._usage: list[UsageUpdate] = []

    def follow(self) -> Iterator[bool]:
        """Follow until the stream breaks; yields after each step, whether it was a heartbeat.

        Raises:
            TransportError: the server cannot be followed; what the store holds goes on to answer.
            StoreError: what it sent cannot be kept.
        """
        missed_at: int | None = None
        is_steady = True
        while True:
            synced = self._store.synced()
            if synced is None:
                self._take_snapshot()
                continue
            try:
                for is_heartbeat in self._follow_from(synced):
                    is_steady = is_steady or is_heartbeat
                    yield is_heartbeat
            except _ResyncNeeded:
                if not is_steady:
                    raise TransportError(
                        f"{self._transport.url} asks for one snapshot after the other; see that several databases "
                        "do not share this address"
                    ) from None
                self._take_snapshot()
                is_steady = False
            except _PushMissed:
                if missed_at == self._revision:  # asking again did not help
                    self._take_snapshot()
                missed_at = self._revision

    def _follow_from(self, synced: Synced) -> Iterator[bool]:
        self._revision, self._behind_at = synced.revision, None
        self._usage.clear()
        with self._transport.stream(
            synced.revision, usage_since=synced.usage_revision, heartbeat=self._heartbeat
        ) as batches:
            for events in batches:
                self._take_in(events, synced)
                if self._store.synced() is None:  # a damaged file was set aside meanwhile
                    raise _ResyncNeeded
                self._heard()
                yield any(event.name == "heartbeat" for event in events)
        raise ServerUnreachableError(f"{self._transport.url} ended the stream")

    def _take_in(self, events: list[StreamEvent], synced: Synced) -> None:
        """Commit what arrived together in one transaction."""
        changes: list[Change] = []
        revision = self._revision
        heartbeats: list[Heartbeat] = []
        resync = False
        for event in events:
            if event.name == "change":
                changes.append(_decoded(_changes, event.data))
                revision = max(revision, event.id or 0)
            elif event.name == "usage":
                self._usage.append(_decoded(_updates, event.data))
            elif event.name == "heartbeat":
                heartbeats.append(_decoded(_heartbeats, event.data))
            elif event.name == "hello":
                self._greet(_decoded(_hellos, event.data), synced)
            elif event.name == "resync":
                resync = True
        self._commit(changes, revision)
        if resync:
            raise _ResyncNeeded
        for heartbeat in heartbeats:
            self._compare(heartbeat)

    def _greet(self, hello: Hello, synced: Synced) -> None:
        require_schema(hello.schema)
        self._require_environment(hello.environment)
        if hello.instance != synced.instance or hello.revision < synced.revision:
            raise _ResyncNeeded

    def _commit(self, changes: list[Change], revision: int) -> None:
        with self._usage_turn() as turn:
            # Standings wait while another process notes what it sent: they may include that already.
            usage = self._usage if turn else []
            if changes or usage or revision != self._revision:
                self._store.apply(changes, usage, revision=revision)
            if turn:
                self._usage.clear()
        if changes:
            self._behind_at = None
        self._revision = revision

    def _compare(self, heartbeat: Heartbeat) -> None:
        """Find out that a push was lost: two heartbeats in a row are ahead, and nothing came between."""
        if heartbeat.revision <= self._revision:
            self._behind_at = None
        elif self._behind_at == self._revision:
            raise _PushMissed
        else:
            self._behind_at = self._revision

    def _take_snapshot(self) -> None:
        with self._transport.snapshot() as lines:
            header = _decoded(_lines, next(lines, ""))
            if not isinstance(header, SnapshotHeader):
                raise TransportError(f"{self._transport.url} does not send a snapshot")
            require_schema(header.schema)
            self._require_environment(header.environment)
            with self._store.replacement(header) as replacement:
                received = 0
                for records in _batches(lines):
                    if isinstance(records, SnapshotEnd):
                        break
                    replacement.add(records)
                    received += len(records)
                    self._heard()
                else:
                    raise ServerUnreachableError(f"{self._transport.url} cut the snapshot short")
                if records.organizations != received:
                    raise ServerUnreachableError(f"{self._transport.url} left out part of the snapshot")
                replacement.commit()

    def _require_environment(self, environment: str) -> None:
        if environment != self._environment:
            raise TransportError(
                f"{self._transport.url} answers for environment {environment!r}, the API key names "
                f"{self._environment!r}; check FLUX_URL and FLUX_API_KEY"
            )

    def _heard(self) -> None:
        self._store.beacon.words[CONTACT] = int(self._clock() * 1000)


def _batches(lines: Iterator[str]) -> Iterator[list[tuple[str, bytes]] | SnapshotEnd]:
    """Yield ids and JSON of organizations in batches, and last the end line, if there is one."""
    while texts := list(itertools.islice(lines, BATCH)):
        records = []
        for text in texts:
            line = _decoded(_lines, text)
            if isinstance(line, OrganizationRecord):
                records.append((line.id, text.encode()))
            elif isinstance(line, SnapshotEnd):
                yield records
                yield line
                return
        yield records


def _decoded(decoder: msgspec.json.Decoder[_T], text: str) -> _T:
    try:
        return decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise TransportError(f"the server sent what this flux-middleware cannot read: {error}") from error
