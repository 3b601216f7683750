"""A follower of /v1/stream, as a host's refresher is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import EventSource

__all__ = ["Event", "follow"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, its data, and the id up to which the follower then has everything."""

    name: str
    data: Any
    id: str


@contextmanager
def follow(
    client: httpx.Client, *, since: int | str | None = None, usage_since: int = 0, heartbeat: float = 60
) -> Iterator[Iterator[Event]]:
    """Follow the environment's changes after the revision `since`, for the length of the block."""
    headers = {} if since is None else {"Last-Event-ID": str(since)}
    query = {"usage_since": str(usage_since), "heartbeat": str(heartbeat)}
    with client.stream("GET", "/v1/stream", headers=headers, params=query) as answer:
        assert answer.status_code == 200
        yield (Event(sse.event, json.loads(sse.data), sse.id) for sse in EventSource(answer).iter_sse())
