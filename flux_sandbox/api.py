"""The API as Stripe's clients see it: from a request's bytes to an answer's, and what is noted on the way."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flux_sandbox import API_VERSION
from flux_sandbox.account import Account, Action, Origin
from flux_sandbox.errors import (
    CrashedError,
    InvalidParametersError,
    Problem,
    StripeError,
    UnknownPathError,
)
from flux_sandbox.expand import expand
from flux_sandbox.form import decode, pairs
from flux_sandbox.idempotency import Answer, IdempotencyKeys
from flux_sandbox.keys import require_key
from flux_sandbox.ledger import Document
from flux_sandbox.parameters import Params, parse
from flux_sandbox.passing import settle
from flux_sandbox.rendering import render
from flux_sandbox.route import Call, Route

__all__ = ["Api", "Hold", "LoggedRequest", "Request", "Violation", "no_hold"]

_logger = logging.getLogger("flux_sandbox")
_FORM: Final = "application/x-www-form-urlencoded"
_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """What is remembered of a request: nothing that could be secret."""

    id: str
    method: str
    path: str
    status: int


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that Stripe would refuse in a request, whatever the account's state."""

    request: str
    method: str
    path: str
    param: str
    code: str
    message: str


Hold = Callable[[Request], Awaitable[None]]
"""Awaited for each request that is about to be carried out: it may wait, or raise a StripeError in its place."""


async def no_hold(_: Request) -> None:
    """Carry out every request at once."""


class Api:
    """Answers requests out of the account."""

    def __init__(self, account: Account, hold: Hold = no_hold) -> None:
        self._account = account
        self._hold = hold
        self._keys = IdempotencyKeys()
        self.requests: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self.violations: deque[Violation] = deque(maxlen=_KEPT)

    async def answer(self, route: Route | None, request: Request, target: str = "") -> Answer:
        """Answer a request, whose path and method are those of the route, if there is one."""
        id_ = self._account.new_id("req")
        try:
            require_key(request.headers.get("authorization"))
            if route is None:
                raise UnknownPathError(request.method, request.path)
            params = _params(route, request)
            answer = await self._answer_once(route, request, params, target, id_)
        except StripeError as error:
            self._note(error, request, id_)
            answer = _refusal(error)
        self.requests.append(LoggedRequest(id_, request.method, request.path, answer.status))
        headers = {"Request-Id": id_, "Stripe-Version": API_VERSION, "Content-Type": "application/json"}
        return Answer(answer.status, answer.body, headers | dict(answer.headers))

    async def _answer_once(
        self, route: Route, request: Request, params: Params, target: str, id_: str
    ) -> Answer:
        """Carry the request out, unless its idempotency key has an answer already."""
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        origin = Origin(id_, key)
        if key is None:
            return await self._carry_out(route, request, params, target, origin)
        saved = self._keys.begin(key, (request.method, request.path, params), self._account.clock.now())
        if saved is not None:
            return Answer(saved.status, saved.body, {**saved.headers, "Idempotent-Replayed": "true"})
        try:
            answer = await self._carry_out(route, request, params, target, origin)
        except BaseException:
            self._keys.abandon(key)  # cancelled
            raise
        answer = Answer(
            answer.status, answer.body, {**answer.headers, "Idempotency-Key": key, "Original-Request": id_}
        )
        self._keys.finish(key, answer)
        return answer

    async def _carry_out(
        self, route: Route, request: Request, params: Params, target: str, origin: Origin
    ) -> Answer:
        try:
            await self._hold(request)
            return self._perform(route, params, target, origin)
        except StripeError as error:
            self._note(error, request, origin.request or "")
            return _refusal(error)
        except Exception:
            _logger.exception("%s %s failed", request.method, request.path)
            return _refusal(CrashedError())

    def _perform(self, route: Route, params: Params, target: str, origin: Origin) -> Answer:
        settle(self._account)
        document = self.call(route, params, target, origin)
        shown = render(self._account.ledger, document)
        expanded = expand(self._account.ledger, shown, params.get("expand") or [])
        return Answer(200, _json(expanded))

    def call(self, route: Route, params: Params, target: str = "", origin: Origin = Origin()) -> Document:
        """Call a route with parsed parameters, as a request would."""
        action = Action(self._account, self._account.clock.now(), origin)
        return route.answer(Call(action, params, target))

    def _note(self, error: StripeError, request: Request, id_: str) -> None:
        if error.violation:
            self.violations.extend(
                Violation(id_, request.method, request.path, problem.param, problem.code, problem.message)
                for problem in error.problems
            )


def _params(route: Route, request: Request) -> Params:
    content_type = request.headers.get("content-type", _FORM)
    if request.body and not content_type.startswith(_FORM):
        message = f"Invalid request (check that your POST content type is {_FORM})."
        raise InvalidParametersError([Problem("", "parameter_invalid", message)])
    return parse(route.parameters, decode([*pairs(request.query), *pairs(request.body)]))


def _refusal(error: StripeError) -> Answer:
    return Answer(error.status, _json(error.body()), error.headers)


def _json(document: Document) -> bytes:
    return json.dumps(document, indent=2).encode()
