"""Wakes whoever waits for a committed change, so that nothing polls for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Bell"]


class Bell:
    """Topics that can be rung and listened to within one event loop.

    A ring says "look again", never what changed: a listener that was busy sees one wake-up for many rings, reads
    what is new from the database, and so cannot miss anything.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, set[asyncio.Event]] = {}

    def ring(self, topic: str) -> None:
        """Wake every listener of `topic`."""
        for event in self._listeners.get(topic, ()):
            event.set()

    @contextmanager
    def listening(self, *topics: str) -> Iterator[asyncio.Event]:
        """Listen to `topics` for the length of the block: an event that is set at each ring; clear it, then look."""
        event = asyncio.Event()
        for topic in topics:
            self._listeners.setdefault(topic, set()).add(event)
        try:
            yield event
        finally:
            for topic in topics:
                self._listeners[topic].discard(event)
                if not self._listeners[topic]:
                    del self._listeners[topic]
