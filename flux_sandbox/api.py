"""The API as Stripe's clients see it: from a request's bytes to an answer's, and what is noted on the way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from flux_sandbox.account import Account, Action, Origin
from flux_sandbox.errors import (
    BusyError,
    CrashedError,
    InvalidParametersError,
    Problem,
    StripeError,
    UnknownPathError,
)
from flux_sandbox.expand import expand
from flux_sandbox.faults import NO_FAULT, Fault, Faults
from flux_sandbox.form import decode, pairs
from flux_sandbox.idempotency import Answer, IdempotencyKeys
from flux_sandbox.keys import Keys, redact, shown_key
from flux_sandbox.ledger import Document
from flux_sandbox.parameters import Params, parse
from flux_sandbox.passing import settle
from flux_sandbox.presentation import encoded, present
from flux_sandbox.rendering import render
from flux_sandbox.route import Call, Route
from flux_sandbox.v2 import decode_json, error_body
from flux_sandbox.versions import checked_version

__all__ = ["Api", "Hold", "LoggedRequest", "Request", "Violation", "no_hold"]

_logger = logging.getLogger("flux_sandbox")
_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
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
    at: float
    """When it came, by the wall's clock."""
    method: str
    path: str
    status: int | None
    """The answer's status, if an answer went out."""
    code: str | None
    """Stripe's code of the error, if the answer is one that has a code."""
    key: str | None
    """The kind and the end of the API key."""
    version: str | None
    idempotency_key: str | None


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


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request on its way through the API, understood."""

    route: Route
    request: Request
    params: Params
    target: str
    origin: Origin
    fault: Fault


class Api:
    """Answers requests out of the account."""

    def __init__(self, account: Account, hold: Hold = no_hold) -> None:
        self._account = account
        self._hold = hold
        self._saved = IdempotencyKeys()
        self._busy: set[Hashable] = set()
        self.keys = Keys(account.profile, account.token)
        self.faults = Faults()
        self.requests: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self.violations: deque[Violation] = deque(maxlen=_KEPT)

    async def answer(self, route: Route | None, request: Request, target: str = "") -> Answer | None:
        """Answer a request, whose path and method are those of the route, if there is one.

        Without an answer the connection has to be closed.
        """
        id_, at = self._account.new_id("req"), self._account.clock.wall()
        fault = self.faults.meet(request.method, request.path, at) or NO_FAULT
        if fault.seconds and fault.strikes_at_once:
            await asyncio.sleep(fault.seconds)
        answer = None
        if fault.what != "outage":
            answer = await self._answer(route, request, target, id_, fault)
        if fault.what == "answer_lost":
            answer = None
        self.requests.append(_logged(id_, at, request, answer))
        if answer is None:
            return None
        version = request.headers.get("stripe-version") or self._account.profile.api_version
        headers = {"Request-Id": id_, "Stripe-Version": version, "Content-Type": "application/json"}
        return Answer(answer.status, answer.body, headers | dict(answer.headers), answer.code)

    async def _answer(
        self, route: Route | None, request: Request, target: str, id_: str, fault: Fault
    ) -> Answer:
        try:
            key = self.keys.require(request.headers.get("authorization"))
            if route is None:
                raise UnknownPathError(request.method, redact(request.path))
            key.require(request.method, request.path, self._account.profile.id)
            fault.refuse()
            version = self._version(request)
            if route.gone_since is not None and version >= route.gone_since:
                raise UnknownPathError(request.method, request.path)
            origin = Origin(id_, _idempotency_key(request), version, key.shows_secrets)
            visit = _Visit(route, request, _params(route, request), target, origin, fault)
            return await self._answer_once(visit)
        except StripeError as error:
            self._note(error, request, id_)
            return _refusal(error, request)

    def _version(self, request: Request) -> str:
        return checked_version(request.headers.get("stripe-version") or self._account.profile.api_version)

    async def _answer_once(self, visit: _Visit) -> Answer:
        """Carry the request out, unless its idempotency key has an answer already."""
        key = visit.origin.idempotency_key
        if key is None:
            return await self._carry_out(visit)
        request = (visit.request.method, visit.request.path, visit.params)
        saved = self._saved.begin(key, request, self._account.clock.now())
        if saved is not None:
            return saved.with_headers({"Idempotent-Replayed": "true"})
        try:
            answer = await self._carry_out(visit)
        except BaseException:
            self._saved.abandon(key)  # cancelled
            raise
        answer = answer.with_headers({"Idempotency-Key": key, "Original-Request": visit.origin.request or ""})
        unsaved = visit.fault.what == "error" and not visit.fault.saved
        if unsaved or answer.status == BusyError.status:
            self._saved.abandon(key)
        else:
            self._saved.finish(key, answer)
        return answer

    async def _carry_out(self, visit: _Visit) -> Answer:
        try:
            with self._alone(visit):
                await self._hold(visit.request)
                if visit.fault.seconds:
                    await asyncio.sleep(visit.fault.seconds)
                visit.fault.crash(carried_out=False)
                answer = self._perform(visit)
            visit.fault.crash(carried_out=True)
        except StripeError as error:
            self._note(error, visit.request, visit.origin.request or "")
            return _refusal(error, visit.request)
        except Exception:
            _logger.exception("%s %s failed", visit.request.method, visit.request.path)
            return _refusal(CrashedError(), visit.request)
        return answer

    @contextmanager
    def _alone(self, visit: _Visit) -> Iterator[None]:
        """Refuse a request while another is busy with what only one may touch at a time."""
        touched = visit.route.alone(visit.params)
        if touched is None:
            yield
            return
        if touched in self._busy:
            raise BusyError
        self._busy.add(touched)
        try:
            yield
        finally:
            self._busy.discard(touched)

    def _perform(self, visit: _Visit) -> Answer:
        settle(self._account)
        document = self.call(visit.route, visit.params, visit.target, visit.origin)
        shown = render(self._account.ledger, document)
        expanded = expand(self._account.ledger, shown, visit.params.get("expand") or [])
        return Answer(200, encoded(present(expanded, self._account.profile, visit.origin.version)))

    def call(self, route: Route, params: Params, target: str = "", origin: Origin = Origin()) -> Document:
        """Call a route with parsed parameters, as a request would."""
        action = Action(self._account, self._account.clock.now(), origin)
        return route.answer(Call(action, params, target))

    def _note(self, error: StripeError, request: Request, id_: str) -> None:
        if error.violation:
            self.violations.extend(
                Violation(
                    id_, request.method, redact(request.path), problem.param, problem.code, problem.message
                )
                for problem in error.problems
            )


def _params(route: Route, request: Request) -> Params:
    wanted = _JSON if _is_v2(request) else _FORM
    content_type = request.headers.get("content-type", wanted)
    if request.body and not content_type.startswith(wanted):
        message = f"Invalid request (check that your {request.method} content type is {wanted})."
        raise InvalidParametersError([Problem("", "parameter_invalid", message)])
    if _is_v2(request):
        return parse(route.parameters, {**decode(pairs(request.query)), **decode_json(request.body)})
    return parse(route.parameters, decode([*pairs(request.query), *pairs(request.body)]))


def _is_v2(request: Request) -> bool:
    return request.path.startswith("/v2/")


def _idempotency_key(request: Request) -> str | None:
    return request.headers.get("idempotency-key") if request.method == "POST" else None


def _logged(id_: str, at: float, request: Request, answer: Answer | None) -> LoggedRequest:
    headers = request.headers
    key = headers.get("authorization")
    return LoggedRequest(
        id=id_,
        at=at,
        method=request.method,
        path=redact(request.path),
        status=None if answer is None else answer.status,
        code=None if answer is None else answer.code,
        key=None if key is None else shown_key(key),
        version=headers.get("stripe-version"),
        idempotency_key=headers.get("idempotency-key"),
    )


def _refusal(error: StripeError, request: Request) -> Answer:
    body = error_body(error) if _is_v2(request) else error.body()
    return Answer(error.status, encoded(body), error.headers, error.code)
