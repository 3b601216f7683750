"""A server to test against: the real application under a real uvicorn on a loopback port, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.app import create_app
from flux_server.database import Database
from flux_server.environments.api_keys import create_api_key
from flux_server.serving import Server, bind
from flux_server.settings import Settings

__all__ = ["NOON", "FakeClock", "RunningServer", "run_server"]

T = TypeVar("T")

NOON = 1_760_011_200  # 2025-10-09 12:00 UTC


class FakeClock:
    """A clock that stands until it is turned."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class RunningServer:
    """A server that runs in another thread, with an event loop of its own."""

    def __init__(self, app: FastAPI, url: str, clock: FakeClock, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.url = url
        self.clock = clock
        self.loop = loop
        self.settings: Settings = app.state.settings
        self.database: Database = app.state.database

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the server's event loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Call `work` with a connection in a write transaction of the server's own database."""

        async def transaction() -> T:
            async with self.database.write() as connection:
                return await work(connection)

        return self.run(transaction())

    def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Call `work` with a connection in a read transaction of the server's own database."""

        async def transaction() -> T:
            async with self.database.read() as connection:
                return await work(connection)

        return self.run(transaction())

    def make_key(self, scope: str = "admin", environment: str = "test") -> str:
        """Make an API key and return its secret."""
        _, secret = self.write(
            lambda connection: create_api_key(
                connection, environment, name=f"a test's {scope}", scope=scope, now=self.clock()
            )
        )
        return secret

    def client(self, scope: str = "admin", environment: str = "test") -> httpx.Client:
        """Return an HTTP client that sends an API key."""
        headers = {"Authorization": f"Bearer {self.make_key(scope, environment)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)


@contextmanager
def run_server(settings: Settings, clock: FakeClock | None = None) -> Iterator[RunningServer]:
    """Run the server for the length of the block; the port in `settings` does not matter."""
    clock = clock or FakeClock()
    listener = bind("127.0.0.1", 0)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    app = create_app(settings, clock=clock)
    server = Server(app)
    loop = asyncio.new_event_loop()

    def run() -> None:  # from beginning to end in its own thread: the caller's may have a loop that runs
        loop.run_until_complete(server.serve(sockets=[listener]))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield RunningServer(app, settings.url, clock, loop)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"


def _wait_until_started(server: Server, thread: threading.Thread) -> None:
    ready = threading.Event()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        ready.wait(0.01)
