"""When subscriptions change by themselves."""

from __future__ import annotations

import heapq
from typing import Any

__all__ = ["Agenda", "next_due"]


def next_due(subscription: dict[str, Any]) -> int | None:
    """Return when the subscription next renews, ends its trial or ends; None if it has ended."""
    if subscription["ended_at"] is not None:
        return None
    moments: list[int] = [item["current_period_end"] for item in subscription["items"]]
    if subscription["status"] == "trialing":
        moments.append(subscription["trial_end"])
    if subscription["cancel_at"] is not None:
        moments.append(subscription["cancel_at"])
    return min(moments)


class Agenda:
    """Subscriptions by the moment they are due. Entries of what has changed since are passed over when due."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []

    def note(self, subscription: dict[str, Any]) -> None:
        """Remember when this state of a subscription is due."""
        due = next_due(subscription)
        if due is not None:
            heapq.heappush(self._heap, (due, subscription["id"]))

    def pop_due(self, now: int) -> tuple[int, str] | None:
        """Take out the earliest entry that is due, as its moment and the subscription's id."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)
        return None
