"""One counter of a journal, as the hot path of `record_usage` holds it."""

from __future__ import annotations

__all__ = ["Slot"]


class Slot:
    """Counts until `until`: add to `counters[index]`, which raises ValueError once the journal's file is closed."""

    __slots__ = ("counters", "index", "until")

    def __init__(self, counters: memoryview, index: int, until: float) -> None:
        self.counters = counters
        self.index = index
        self.until = until
