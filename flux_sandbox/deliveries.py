"""Webhooks on their way: signed, sent in the background, tried again for a while.

Each receiver gets its events in the order of their creation, one after the other, unless a plan says otherwise. One
that it does not take is tried again beside those that follow, so a retried event can arrive after later ones: as with
Stripe, whose order nobody may rely on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import httpx

from flux_sandbox import API_VERSION
from flux_sandbox.account import Account
from flux_sandbox.disorder import Disorder
from flux_sandbox.errors import MissingError
from flux_sandbox.ledger import Document, Ledger
from flux_sandbox.presentation import encoded, present, present_event
from flux_sandbox.receivers import Receiver, find_receiver, wanted_by
from flux_sandbox.signing import signature, signing_secrets

__all__ = ["RETRY_DELAYS", "Deliveries", "Delivery"]

RETRY_DELAYS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds before each further attempt. (Stripe takes hours to days, with as many attempts.)"""

_TIMEOUT = 10.0
# Idle connections end here before they do at common servers (5 s), which may close one just as it is used.
_LIMITS: Final = httpx.Limits(keepalive_expiry=2)
_KEPT = 1_000
_NOTIFICATION: Final = ("id", "object", "type", "created", "livemode", "context", "reason", "related_object")
"""What a thin event tells when it is sent; the rest must be asked for."""


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


@dataclass(slots=True)
class _Line:
    """A receiver's events that wait for their turn."""

    waiting: deque[str] = field(default_factory=deque)
    sending: int = 0


class Deliveries:
    """Sends each event to those who want it, while `running` is open."""

    def __init__(self, account: Account, *, retry_delays: tuple[float, ...] = RETRY_DELAYS) -> None:
        self._account = account
        self._retry_delays = retry_delays
        self._lines: defaultdict[str, _Line] = defaultdict(_Line)
        self._held: defaultdict[str, list[str]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._log: deque[Delivery] = deque(maxlen=_KEPT)
        self._taken: set[tuple[str, str]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.disorder = Disorder()
        self.pending = 0
        """How many events are not delivered yet, nor given up nor held back, counted for each endpoint."""

    @property
    def log(self) -> list[Delivery]:
        """The latest attempts, newest first."""
        return list(reversed(self._log))

    @property
    def held(self) -> int:
        """How many events wait to be flushed, counted for each endpoint."""
        return sum(len(events) for events in self._held.values())

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

    async def wait(self, seconds: float) -> None:
        """Return once nothing is on its way, or the time is over."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return

    def send(self, event: Document) -> None:
        """Deliver an event in the background, as the plan says, to all who want it."""
        for receiver in wanted_by(self._account.ledger, event):
            copies = self.disorder.fate(receiver.id)
            if not copies:
                self._log.append(_attempt(receiver, event, 0, None, "Dropped"))
            for delay in copies:
                self._queue(receiver.id, event["id"], delay)

    def flush(self) -> int:
        """Send what was held back; return how many events that is."""
        held, self._held = self._held, defaultdict(list)
        for receiver, events in held.items():
            for event in self.disorder.shuffled(receiver, events):
                self._enter(receiver, event)
        return sum(len(events) for events in held.values())

    def send_again(self, event: str, *, receiver: str | None = None, times: int = 1) -> int:
        """Send an event now, past the plan, all copies at once; return how many that is."""
        document = _event(self._account.ledger, event)
        found = [
            each
            for each in wanted_by(self._account.ledger, document)
            if receiver is None or each.id == receiver
        ]
        for each in found * times:
            self._count(1)
            self._start(self._deliver(each.id, event))
        return len(found) * times

    def _queue(self, receiver: str, event: str, delay: float) -> None:
        if self.disorder.of(receiver).hold:
            self._held[receiver].append(event)
        elif delay:
            self._count(1)
            self._start(self._late(receiver, event, delay))
        else:
            self._enter(receiver, event)

    def _enter(self, receiver: str, event: str) -> None:
        self._count(1)
        self._lines[receiver].waiting.append(event)
        self._pump(receiver)

    def _pump(self, receiver: str) -> None:
        line = self._lines[receiver]
        while line.waiting and line.sending < self.disorder.of(receiver).concurrent:
            line.sending += 1
            self._start(self._in_turn(receiver, line, line.waiting.popleft()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self, change: int) -> None:
        self.pending += change
        if self.pending:
            self._idle.clear()
        else:
            self._idle.set()

    async def _in_turn(self, receiver: str, line: _Line, event: str) -> None:
        taken = await self._attempt(receiver, event, 1)
        line.sending -= 1
        self._pump(receiver)
        await self._settle(receiver, event, taken)

    async def _late(self, receiver: str, event: str, delay: float) -> None:
        await asyncio.sleep(delay)
        await self._deliver(receiver, event)

    async def _deliver(self, receiver: str, event: str) -> None:
        await self._settle(receiver, event, await self._attempt(receiver, event, 1))

    async def _settle(self, receiver: str, event: str, taken: bool) -> None:
        """Try again after a first attempt, until the event is taken or given up."""
        for attempt, delay in enumerate(self._retry_delays, start=2):
            if taken:
                break
            await asyncio.sleep(delay)
            taken = await self._attempt(receiver, event, attempt)
        self._count(-1)

    async def _attempt(self, to: str, id_: str, attempt: int) -> bool:
        """Try once; return whether no further attempt is needed."""
        ledger = self._account.ledger
        receiver, event = find_receiver(ledger, to), _event(ledger, id_)
        if receiver is None or not receiver.enabled:
            return True
        body, headers = self._webhook(receiver, event)
        status, error = await self._post(receiver.url, body, headers)
        done = _attempt(receiver, event, attempt, status, error)
        self._log.append(done)
        if done.ok:
            self._take(to, id_)
        return done.ok

    def webhook(self, event: str, receiver: str) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of a webhook, signed now, without sending it."""
        found = find_receiver(self._account.ledger, receiver)
        if found is None:
            raise MissingError("webhook_endpoint", receiver)
        return self._webhook(found, _event(self._account.ledger, event))

    def _webhook(self, receiver: Receiver, event: Document) -> tuple[bytes, dict[str, str]]:
        body, clock = self._body(receiver, event), self._account.clock
        secrets = signing_secrets(self._account.ledger, receiver.id, clock.now())
        # By the wall: a receiver compares it with its own clock, which was not turned.
        signed = signature(secrets, body, int(clock.wall()))
        return body, {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed}

    def _body(self, receiver: Receiver, event: Document) -> bytes:
        profile = self._account.profile
        if receiver.thin:
            shown = present({name: event[name] for name in _NOTIFICATION}, profile, API_VERSION)
        else:
            shown = present_event(event, profile, receiver.api_version)
        return encoded(shown)

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int | None, str | None]:
        try:
            answer = await self._http.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, type(error).__name__
        return answer.status_code, None

    def _take(self, receiver: str, id_: str) -> None:
        """Note that a receiver has an event, the first time that it takes it."""
        event = self._account.ledger.find("event", id_)
        if event is None or (receiver, id_) in self._taken:
            return
        self._taken.add((receiver, id_))
        self._account.ledger.put({**event, "pending_webhooks": max(0, event["pending_webhooks"] - 1)})

    def described(self) -> dict[str, Any]:
        """Return the latest attempts as JSON, newest first, and how much is still to come."""
        data = [asdict(delivery) | {"ok": delivery.ok} for delivery in self.log]
        return {"data": data, "pending": self.pending, "held": self.held}


def _event(ledger: Ledger, id_: str) -> Document:
    found = ledger.find("event", id_) or ledger.find("v2.core.event", id_)
    if found is None:
        raise MissingError("event", id_)
    return found


def _attempt(
    receiver: Receiver, event: Document, attempt: int, status: int | None, error: str | None
) -> Delivery:
    return Delivery(event["id"], event["type"], receiver.id, receiver.url, attempt, status, error)
