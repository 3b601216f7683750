"""What a gate asks, kept in memory: for tests of the gate alone."""

from __future__ import annotations

import threading
from collections import Counter

from flux_middleware.gate import Decision, DecisionReason


class RecordingBilling:
    """Entitles whom it is told to and remembers what was counted."""

    def __init__(self) -> None:
        self.entitled: set[tuple[str, str]] = set()
        self.usage: Counter[tuple[str, str]] = Counter()
        self.reason = DecisionReason.NOT_ENTITLED
        self.broken: Exception | None = None
        self._lock = threading.Lock()

    def is_entitled(self, organization: str, feature: str, /) -> bool:
        return (organization, feature) in self.entitled

    def check(self, organization: str, feature: str, /) -> Decision:
        allowed = self.is_entitled(organization, feature)
        reason = DecisionReason.ENTITLED if allowed else self.reason
        return Decision(allowed, feature, organization, reason)

    def record_usage(self, organization: str, metric: str, quantity: int, /) -> None:
        if self.broken is not None:
            raise self.broken
        with self._lock:
            self.usage[organization, metric] += quantity
