"""GET /v1/stream: changes and usage standings, pushed as they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final, cast

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import SCHEMA, Heartbeat, Hello, UsageUpdate, encode
from flux_server.api.dependencies import Caller, Clock, DatabaseOf, SettingsOf, requires_scope
from flux_server.api.following import Batch, Follower, Sent
from flux_server.api.operations import MonitoringOf
from flux_server.api.problems import problem_responses
from flux_server.bell import Bell
from flux_server.database import Database
from flux_server.environments.api_keys import API_KEYS_TOPIC, is_live
from flux_server.environments.environments import read_environment
from flux_server.environments.jobs import Watch
from flux_server.environments.revisions import current_revision, revision_topics
from flux_server.errors import UnavailableError
from flux_server.streaming import PiecewiseResponse

__all__ = ["Streams", "read_hello", "router"]

router = APIRouter(tags=["sdk"])

_CLOSING_TOPIC: Final = "streams-closing"
_MEDIA_TYPE = "text/event-stream"


class Streams:
    """The streams that are open on this server: they would never end by themselves."""

    def __init__(self, bell: Bell, watch: Watch) -> None:
        self.closing = False
        self.watch = watch
        self._bell = bell

    def close(self) -> None:
        """End every stream; their followers reconnect, to another replica or when the server is back."""
        self.closing = True
        self._bell.ring(_CLOSING_TOPIC)


@router.get(
    "/v1/stream",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: hello, change, usage, heartbeat, resync.",
            "content": {_MEDIA_TYPE: {}},
        },
        **problem_responses(401, 403, 422, 503),
    },
)
async def follow_changes(
    request: Request,
    database: DatabaseOf,
    settings: SettingsOf,
    clock: Clock,
    monitoring: MonitoringOf,
    caller: Annotated[Caller, Depends(requires_scope("sdk"))],
    usage_since: Annotated[int, Query(ge=0, description="Usage revision that the follower has.")] = 0,
    heartbeat: Annotated[
        float | None, Query(ge=0.2, le=60, allow_inf_nan=False, description="Seconds between heartbeats.")
    ] = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, description="Revision that the follower has; the present one otherwise.")
    ] = None,
) -> Response:
    """Push every change after `Last-Event-ID`, and usage standings, as they are committed."""
    streams = cast("Streams", request.app.state.streams)
    if streams.closing:
        raise UnavailableError("the server is stopping; reconnect")
    async with database.read() as connection:
        hello = await read_hello(connection, caller.environment)
        usage_revision = await current_revision(connection, caller.environment, "usage")
    follower = Follower(
        caller.environment,
        hello.revision if last_event_id is None else last_event_id,
        # Who has more than there is followed a database that is gone.
        usage_since if usage_since <= usage_revision else 0,
    )

    stream = _Stream(database, streams, clock, caller.key_id, follower, heartbeat or settings.heartbeat)
    opened = monitoring.streams.labels(caller.environment)
    return PiecewiseResponse(
        stream.events(hello, opened),
        media_type=_MEDIA_TYPE,
        headers={"Cache-Control": "no-store"},
        wake=stream.leave,
    )


async def read_hello(connection: AsyncConnection, environment: str) -> Hello:
    """Return what opens a stream: which environment this is, and how far it has come."""
    instance = (await read_environment(connection, environment)).instance
    return Hello(SCHEMA, environment, instance, await current_revision(connection, environment))


@dataclass
class _Stream:
    """One open stream, until its follower left."""

    database: Database
    streams: Streams
    clock: Callable[[], float]
    key_id: str
    follower: Follower
    heartbeat: float
    has_left: bool = False

    def leave(self) -> None:
        """End the stream: nobody reads it any more."""
        self.has_left = True
        self.database.bell.ring(self._topic)

    @property
    def _topic(self) -> str:
        return f"stream-left:{id(self)}"

    async def events(self, hello: Hello, opened: Gauge) -> AsyncGenerator[bytes]:
        """Yield events until the server stops, the key is revoked or the follower needs a new snapshot."""
        topics = (*revision_topics(self.follower.environment), API_KEYS_TOPIC, _CLOSING_TOPIC, self._topic)
        with opened.track_inprogress(), self.database.bell.listening(*topics) as rung:
            yield _event("hello", hello)
            if not await self._is_in_reach():
                yield b"event: resync\ndata: {}\n\n"
                return
            rung.set()  # whatever was committed before we listened
            beat = self._time() + self.heartbeat
            while not (self.streams.closing or self.has_left):
                if rung.is_set():
                    rung.clear()
                    batch = await self._next_batch()
                    if batch is None:
                        return
                    for sent in batch.sent:
                        yield _sent_event(sent)
                    if batch.more:
                        rung.set()
                if self._time() >= beat:
                    # Seen apart from the bell: a follower finds out by it that a push was lost, wherever it was.
                    newest = self.streams.watch.newest(self.follower.environment)
                    yield _event("heartbeat", Heartbeat(max(newest, self.follower.revision)))
                    beat = self._time() + self.heartbeat
                with suppress(TimeoutError):
                    await asyncio.wait_for(rung.wait(), beat - self._time())

    async def _is_in_reach(self) -> bool:
        async with self.database.read() as connection:
            return await self.follower.is_in_reach(connection)

    async def _next_batch(self) -> Batch | None:
        """Return what to send next; None if the follower must come back: with another key, or when it can be asked."""
        try:
            async with self.database.read() as connection:
                if await is_live(connection, self.key_id):
                    return await self.follower.advance(connection, self.clock())
        except UnavailableError:
            pass  # the jobs log it, once for all streams
        return None

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _sent_event(sent: Sent) -> bytes:
    name = "usage" if isinstance(sent.value, UsageUpdate) else "change"
    return _event(name, sent.value, sent.id)


def _event(name: str, value: msgspec.Struct, event_id: int | None = None) -> bytes:
    line = b"" if event_id is None else b"id: %d\n" % event_id
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), line, encode(value))
