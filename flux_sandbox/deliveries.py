"""Webhooks on their way: signed, sent in the background, tried again for a while.

Each endpoint gets its events in the order of their creation, one after the other. One that it does not take is
tried again beside those that follow, so a retried event can arrive after later ones: as with Stripe, whose order
nobody may rely on.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import httpx

from flux_sandbox.account import Account
from flux_sandbox.ledger import Document
from flux_sandbox.presentation import present
from flux_sandbox.webhook_endpoints import signing_secret

__all__ = ["RETRY_DELAYS", "Deliveries", "Delivery", "signature"]

RETRY_DELAYS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds before each further attempt. (Stripe takes hours to days, with as many attempts.)"""

_TIMEOUT = 10.0
# Idle connections end here before they do at common servers (5 s), which may close one just as it is used.
_LIMITS: Final = httpx.Limits(keepalive_expiry=2)
_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event: the status of the answer, or the error in place of one."""

    event: str
    type: str
    endpoint: str
    url: str
    attempt: int
    status: int | None
    error: str | None

    @property
    def ok(self) -> bool:
        """Whether the endpoint took the event."""
        return self.status is not None and 200 <= self.status < 300


class Deliveries:
    """Sends each event to the endpoints that want it, while `running` is open."""

    def __init__(self, account: Account, *, retry_delays: tuple[float, ...] = RETRY_DELAYS) -> None:
        self._account = account
        self._retry_delays = retry_delays
        self._queues: dict[str, asyncio.Queue[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log: deque[Delivery] = deque(maxlen=_KEPT)
        self.pending = 0
        """How many events are not delivered yet, nor given up, counted for each endpoint."""

    @property
    def log(self) -> list[Delivery]:
        """The latest attempts, newest first."""
        return list(reversed(self._log))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver until the context is left; what is not delivered by then never is."""
        # No proxy of the environment's: it would not find its way back to this machine.
        async with httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, trust_env=False) as self._http:
            try:
                yield
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, event: Document) -> None:
        """Deliver an event in the background."""
        for endpoint in self._account.listeners(event["type"]):
            queue = self._queues.get(endpoint["id"])
            if queue is None:
                queue = self._queues[endpoint["id"]] = asyncio.Queue()
                self._start(self._work(endpoint["id"], queue))
            self.pending += 1
            queue.put_nowait(event["id"])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, endpoint: str, queue: asyncio.Queue[str]) -> None:
        while True:
            event = await queue.get()
            if await self._attempt(endpoint, event, 1):
                self.pending -= 1
            else:
                self._start(self._retry(endpoint, event))

    async def _retry(self, endpoint: str, event: str) -> None:
        for attempt, delay in enumerate(self._retry_delays, start=2):
            await asyncio.sleep(delay)
            if await self._attempt(endpoint, event, attempt):
                break
        self.pending -= 1

    async def _attempt(self, endpoint: str, event: str, attempt: int) -> bool:
        """Try once; return whether no further attempt is needed."""
        ledger = self._account.ledger
        receiver, document = ledger.find("webhook_endpoint", endpoint), ledger.require("event", event)
        if receiver is None or receiver["status"] != "enabled":
            return True
        body = json.dumps(present(document, self._account.profile), indent=2).encode()
        # By the wall: a receiver compares it with its own clock, which was not turned.
        signed = signature(signing_secret(ledger, endpoint), body, int(self._account.clock.wall()))
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed}
        status, error = await self._post(receiver["url"], body, headers)
        done = Delivery(event, document["type"], endpoint, receiver["url"], attempt, status, error)
        self._log.append(done)
        if done.ok:
            waiting = ledger.require("event", event)
            ledger.put({**waiting, "pending_webhooks": waiting["pending_webhooks"] - 1})
        return done.ok

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int | None, str | None]:
        try:
            answer = await self._http.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, type(error).__name__
        return answer.status_code, None

    def described(self) -> list[dict[str, Any]]:
        """Return the latest attempts as JSON, newest first."""
        return [asdict(delivery) | {"ok": delivery.ok} for delivery in self.log]


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """Return the `Stripe-Signature` header of a webhook's body."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
