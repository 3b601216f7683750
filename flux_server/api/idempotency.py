"""Idempotency-Key: a write that is sent again is answered again, and not done again.

What is guaranteed: everything that a request with a key writes is one transaction (`Database.one_transaction`),
and its answer is kept in that very transaction, before anything is sent. So whenever the server, its database or
the line to the client breaks, either nothing was done and nothing is kept, and the request is done when it comes
again; or it was done, its answer is kept, and that answer is given when it comes again. There is nothing between
the two, and no reservation that a process could leave behind: while a request runs, its turn is held by the
transaction itself, so two of the same key are never both done, whichever replicas they reach.

A request is looked up at its first write: whoever asks for a kept answer holds the API key, and sent what can be
read. One that is refused, or fails, has undone what it wrote, keeps nothing and can be sent again.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flux_server.api.dependencies import Caller
from flux_server.api.problems import problem_response
from flux_server.database import Database
from flux_server.environments.kept_answers import (
    KeptAnswer,
    answer_place,
    find_answer,
    keep_answer,
    take_turn,
)
from flux_server.errors import ConflictError, InvalidRequestError
from flux_server.stripe.secrets import SealedError, SecretBox

__all__ = [
    "MAX_KEPT",
    "AnswerNotKeptError",
    "IdempotencyKeyReusedError",
    "IdempotentWrites",
    "RequestInProgressError",
    "takes_idempotency_key",
]

MAX_KEPT = 4 * 1024 * 1024
"""Bytes of an answer that is kept."""

_WRITES: Final = frozenset({"DELETE", "PATCH", "POST", "PUT"})
# What comes again changes nothing here, by its nature: totals and events are counted once, forwarding sends what
# was not sent, in many transactions with Stripe's answers between them, and a comparison or a proposal writes nothing.
_TAKES_NONE: Final = (
    "/v1/usage",
    "/v1/stripe/webhooks/",
    "/v1/stripe/forward",
    "/v1/catalog/diff",
    "/v1/stripe/catalog",
)
_KEY: Final = re.compile(rb"[!-~]{1,255}\Z")
_KEPT_HEADERS: Final = frozenset({b"cache-control", b"content-length", b"content-type", b"etag", b"location"})


class IdempotencyKeyReusedError(InvalidRequestError):
    """The key belongs to another request."""

    code = "idempotency_key_reused"
    title = "Idempotency key reused"


class RequestInProgressError(ConflictError):
    """The request of this key is being done right now."""

    code = "request_in_progress"
    title = "Request in progress"

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class AnswerNotKeptError(ConflictError):
    """The request of this key was done, but what was answered cannot be said again."""

    code = "answer_not_kept"
    title = "Answer not kept"


def takes_idempotency_key(method: str, path: str) -> bool:
    """Say whether a request like this one can carry an Idempotency-Key."""
    return method in _WRITES and path.startswith("/v1/") and not path.startswith(_TAKES_NONE)


class IdempotentWrites:
    """Do each write that carries an Idempotency-Key once.

    Answers may show secrets, so they are kept in `box`.
    """

    def __init__(self, app: ASGIApp, database: Database, box: SecretBox, clock: Callable[[], float]) -> None:
        self.app = app
        self.database = database
        self.box = box
        self.clock = clock
        # Replicas see each other's turns in PostgreSQL; on SQLite a second request would only wait for the first.
        self._running: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = _keys(scope)
        if not keys:
            await self.app(scope, receive, send)
            return
        if len(keys) > 1 or not _KEY.match(keys[0]):
            refusal = InvalidRequestError(
                "header.Idempotency-Key: send one key of 1 to 255 visible ASCII characters, such as a UUID"
            )
            await problem_response(refusal)(scope, receive, send)
            return
        turn = _turn(scope, keys[0])
        if turn in self._running:
            await problem_response(_in_progress())(scope, receive, send)
            return
        write = _Write(self, scope, receive, keys[0].decode())
        self._running.add(turn)
        try:
            await write.run()
        finally:
            self._running.discard(turn)
        await write.answer(send)


def _keys(scope: Scope) -> list[bytes]:
    if scope["type"] != "http" or not takes_idempotency_key(scope["method"], scope["path"]):
        return []
    return [value for name, value in scope["headers"] if name == b"idempotency-key"]


class _Answer(msgspec.Struct):
    status: int
    headers: list[tuple[str, str]]
    body: str


class _AnsweredBeforeError(Exception):
    """Leads past everything that would do it again."""


class _Write:
    """One request that carries a key."""

    def __init__(self, writes: IdempotentWrites, scope: Scope, receive: Receive, key: str) -> None:
        self._writes = writes
        self._scope = scope
        self._receive = receive
        self._key = key
        self._request = hashlib.sha256(_target(scope))
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        scope.setdefault("state", {})

    async def run(self) -> None:
        """Do what is asked, or find what was answered before."""
        try:
            async with self._writes.database.one_transaction(self._begin) as transaction:
                await self._writes.app(self._scope, self._heard, self._collect)
                if self._status >= 400:
                    await transaction.undo()
                elif transaction.connection is not None:
                    await self._keep(transaction.connection)
        except _AnsweredBeforeError:
            pass

    async def answer(self, send: Send) -> None:
        """Send what is answered."""
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})

    async def _heard(self) -> Message:
        message = await self._receive()
        self._request.update(message.get("body", b""))
        return message

    async def _collect(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        else:
            self._body += message.get("body", b"")

    async def _begin(self, connection: AsyncConnection) -> None:
        key_id = self._caller.key_id
        if not await take_turn(connection, key_id, self._key):
            raise _in_progress()
        kept = await find_answer(connection, key_id, self._key)
        if kept is not None:
            self._repeat(kept)
            raise _AnsweredBeforeError

    async def _keep(self, connection: AsyncConnection) -> None:
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._headers
            if name in _KEPT_HEADERS
        ]
        answer = msgspec.json.encode(_Answer(self._status, headers, self._body.decode("latin-1")))
        sealed = None
        if len(self._body) <= MAX_KEPT:
            text = base64.b85encode(zlib.compress(answer, 1)).decode()
            sealed = self._writes.box.seal(text, environment=self._caller.environment, column=self._place)
        kept = KeptAnswer(self._request.hexdigest(), sealed)
        await keep_answer(connection, self._caller.key_id, self._key, kept, self._writes.clock())

    def _repeat(self, kept: KeptAnswer) -> None:
        if kept.request != self._request.hexdigest():
            raise IdempotencyKeyReusedError(
                "this Idempotency-Key was sent with another method, address or body; take a new key for each request, "
                "and the same one only to send that request again"
            )
        if kept.answer is None:
            raise AnswerNotKeptError(
                "this request was done, but its answer was too large to be kept; read what it changed"
            )
        try:
            text = self._writes.box.open(
                kept.answer, environment=self._caller.environment, column=self._place
            )
        except SealedError as error:
            raise AnswerNotKeptError(
                "this request was done, but the server's secret key is not the one that its answer was kept with; "
                "read what it changed"
            ) from error
        answer = msgspec.json.decode(zlib.decompress(base64.b85decode(text)), type=_Answer)
        self._status, self._body = answer.status, answer.body.encode("latin-1")
        self._headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        self._headers.append((b"idempotent-replayed", b"true"))

    @property
    def _caller(self) -> Caller:
        caller = self._scope["state"]["caller"]
        assert isinstance(caller, Caller)
        return caller

    @property
    def _place(self) -> str:
        return answer_place(self._caller.key_id, self._key)


def _turn(scope: Scope, key: bytes) -> bytes:
    """Return what tells the requests of one API key, which is not known yet to be one, from all others."""
    authorization = dict(scope["headers"]).get(b"authorization", b"")
    return hashlib.sha256(b"%s\n%s" % (authorization, key)).digest()


def _in_progress() -> RequestInProgressError:
    return RequestInProgressError(
        "the request of this Idempotency-Key is still being done; send it again in a moment to have its answer"
    )


def _target(scope: Scope) -> bytes:
    """Return what is asked for, apart from the body: no address holds a line break."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return b"%s\n%s\n%s\n" % (scope["method"].encode(), path, scope["query_string"])
