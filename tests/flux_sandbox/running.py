"""A sandbox on a socket, what drives it, and who receives its webhooks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import stripe
import uvicorn

from flux_sandbox.app import create_app

DEADLINE = 10.0


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that listens, Stripe's own client for it, and a plain one."""

    url: str
    stripe: stripe.StripeClient
    http: httpx.Client

    def advance(self, seconds: float) -> int:
        """Turn the clock, and return what it says then."""
        answer = self.http.post("/_sandbox/clock", json={"advance": seconds})
        return int(answer.raise_for_status().json()["now"])

    def stage(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Set up what no request to Stripe can."""
        document: dict[str, Any] = self.http.post(f"/_sandbox/{path}", json=asked).raise_for_status().json()
        return document

    def now(self) -> int:
        return int(self.http.get("/_sandbox/clock").json()["now"])

    def violations(self) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.http.get("/_sandbox/violations").json()["data"]
        return data


class _Server(uvicorn.Server):
    """Notices within a moment that it shall stop: there is one for each test."""

    async def main_loop(self) -> None:
        while not self.should_exit:  # noqa: ASYNC110  # it is set from another thread
            await asyncio.sleep(0.01)


@contextmanager
def running_sandbox(**options: Any) -> Iterator[RunningSandbox]:
    """Run a sandbox in a thread; the options are those of `create_app`."""
    # uvicorn opens the socket: on one given to it, asyncio would leave Nagle's algorithm on, and each answer late.
    server = _Server(uvicorn.Config(create_app(**options), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    addresses: Any = {"api": url, "meter_events": url}
    key = "sk_test_sandbox"
    requests = stripe.RequestsClient(timeout=10)
    client = stripe.StripeClient(key, base_addresses=addresses, http_client=requests)
    try:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10) as http:
            yield RunningSandbox(url, client, http)
    finally:
        requests.close()  # type: ignore[no-untyped-call]  # Stripe's
        server.should_exit = True
        thread.join(DEADLINE)


@dataclass(frozen=True)
class Received:
    """One webhook as it came."""

    body: bytes
    signature: str

    def event(self, secret: str) -> stripe.Event:
        """Verify it as an application does."""
        event: stripe.Event = stripe.Webhook.construct_event(self.body, self.signature, secret)
        return event


class Receiver:
    """An application's webhook endpoint: answers with the statuses given, then with 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.before_answer: Callable[[], object] = lambda: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(Received(body, self.headers["Stripe-Signature"]))
                receiver.before_answer()
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep the tests' output clean."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 100  # of what comes all at once, too

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"

    def wait_for(self, count: int) -> list[Received]:
        """Return what came, once it is so many."""
        wait_until(lambda: len(self.received) >= count)
        return list(self.received)

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(DEADLINE)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, as long as the deadline lets."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        threading.Event().wait(0.01)
