"""Decides whether a request may pass, what a refusal says, and what is counted once the response is known.

An adapter makes one `Gate` an installation and one `GatedRequest` a request. The decorators ask the request to
`admit`, which notes what to count; the adapter calls `commit` with the final status. Nothing here waits: an
asynchronous organization resolver makes `admit` return an awaitable for the adapter to wait for.
"""

from __future__ import annotations

import functools
import inspect
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final, Protocol

import msgspec

from flux_middleware.decisions import Decision, DecisionReason
from flux_middleware.errors import ConfigurationError, InvalidOrganizationError, StoreError
from flux_middleware.keys import FeatureKey, MetricKey
from flux_middleware.snapshot import require_organization

__all__ = [
    "Admission",
    "Billing",
    "Client",
    "Decision",
    "DecisionReason",
    "Denial",
    "Gate",
    "GatedRequest",
    "OnDenied",
    "OrganizationResolver",
    "Requirements",
    "denial_for",
]

_logger = logging.getLogger("flux")


class Billing(Protocol):
    """What a gate asks of the client."""

    def is_entitled(self, organization: str, feature: FeatureKey, /) -> bool: ...

    def check(self, organization: str, feature: FeatureKey, /) -> Decision: ...

    def record_usage(self, organization: str, metric: MetricKey, quantity: int, /) -> None: ...


class Client(Protocol):
    """A client as adapters are given one: `flux.init()` returns such a client."""

    @property
    def billing(self) -> Billing: ...


OrganizationResolver = Callable[[Any], str | Awaitable[str | None] | None]
"""Says whose plan counts, given the ASGI scope or the framework's request; `None` for nobody."""

OnDenied = Callable[[Any, "Denial"], Any]
"""Makes the response of a denial, given what the resolver is given; may return `None` for the usual one."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a decorated function asks of its request: features to be entitled to, metrics to count."""

    features: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def and_then(self, inner: Requirements) -> Requirements:
        """Return these requirements followed by those nearer to the function, each once."""
        return Requirements(
            features=tuple(dict.fromkeys(self.features + inner.features)),
            metrics=tuple(dict.fromkeys(self.metrics + inner.metrics)),
        )


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal, ready to send: RFC 9457 problem details as bytes, with their headers as bytes and as text."""

    status: int
    code: str
    feature: str
    reason: DecisionReason
    detail: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    text_headers: tuple[tuple[str, str], ...]


_NOT_IN_PLAN = (403, "entitlement_required", "Entitlement required", "The plan does not include {feature!r}.")
_NOT_KNOWN = (
    503,
    "entitlements_unavailable",
    "Entitlements unavailable",
    "Whether the plan includes {feature!r} is not known at the moment.",
)
# status, code, title, detail; whether a feature exists at all is no business of the caller's.
_PROBLEMS: Final[dict[DecisionReason, tuple[int, str, str, str]]] = {
    DecisionReason.NOT_ENTITLED: _NOT_IN_PLAN,
    DecisionReason.UNKNOWN_FEATURE: _NOT_IN_PLAN,
    DecisionReason.NO_ORGANIZATION: (
        403,
        "organization_required",
        "Organization required",
        "{feature!r} is part of a plan, and the request does not say on behalf of which organization it is made.",
    ),
    DecisionReason.LIMIT_REACHED: (
        403,
        "limit_reached",
        "Limit reached",
        "The plan does not include as much of {feature!r}.",
    ),
    DecisionReason.UNAVAILABLE: _NOT_KNOWN,
    DecisionReason.FALLBACK: _NOT_KNOWN,
    DecisionReason.STALE: _NOT_KNOWN,
}
_LONGEST_RETRY_SECONDS = 5


def denial_for(feature: str, reason: DecisionReason) -> Denial:
    """Return the refusal of `feature`; prepared once, so that refusing is as cheap as answering."""
    if _PROBLEMS[reason] is not _NOT_KNOWN:
        return _denial(feature, reason, None)
    return _denial(feature, reason, random.randint(1, _LONGEST_RETRY_SECONDS))  # noqa: S311  spreads retries


@functools.lru_cache(maxsize=1024)
def _denial(feature: str, reason: DecisionReason, retry_after: int | None) -> Denial:
    status, code, title, template = _PROBLEMS[reason]
    detail = template.format(feature=feature)
    problem = {
        "type": f"urn:flux:problem:{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "feature": feature,
    }
    body = msgspec.json.encode(problem)
    headers = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
    }
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Denial(status, code, feature, reason, detail, body, _raw(headers), tuple(headers.items()))


def _raw(headers: dict[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items())


# A preflight carries no credentials, so OPTIONS is never refused; but it must not be a way round the gate into
# a view that answers every method, so it gets nothing instead.
_NOTHING: Final = Denial(
    status=204,
    code="",
    feature="",
    reason=DecisionReason.NOT_ENTITLED,
    detail="",
    body=b"",
    headers=_raw({"cache-control": "no-store"}),
    text_headers=(("cache-control", "no-store"),),
)

_UNCOUNTED_METHODS = frozenset({"HEAD", "OPTIONS"})
_FIRST_ERROR_STATUS = 400
_SECONDS_BETWEEN_REPORTS = 60.0


class Gate:
    """One installation of an adapter: who decides, who counts, and whose plan it is about.

    Raises:
        ConfigurationError: `organization` or `on_denied` cannot be called.
    """

    def __init__(
        self,
        billing: Billing,
        organization: OrganizationResolver,
        on_denied: OnDenied | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not callable(organization):
            raise ConfigurationError(
                "organization is a function from the request to the id of the organization whose plan counts, "
                f"for example `lambda request: request.user.organization_id`; not {organization!r:.100}"
            )
        if on_denied is not None and not callable(on_denied):
            raise ConfigurationError(
                f"on_denied is a function from the request and a Denial to a response, not {on_denied!r:.100}"
            )
        self.billing = billing
        self.organization = organization
        self.on_denied = on_denied
        self._clock = clock
        self._quiet_until: dict[str, float] = {}

    def report(self, what: str, error: BaseException) -> None:
        """Log a failure that must not break requests; one that lasts is repeated once a minute, not per request."""
        condition = f"{what} ({type(error).__name__})"
        now = self._clock()
        if now >= self._quiet_until.get(condition, now):
            self._quiet_until[condition] = now + _SECONDS_BETWEEN_REPORTS
            _logger.error("%s", condition, exc_info=error)


class _Nobody(Enum):
    """Why a request has no organization, other than that the resolver said so."""

    UNASKED = auto()
    UNAVAILABLE = auto()


Admission = Denial | Awaitable[Denial | None] | None
"""`None` lets the request pass; an awaitable says so later, when the organization must be waited for."""


class GatedRequest:
    """One request at the gate: whose it is (asked once, and only if a decorated function runs), what to count.

    `metrics` are those to count if the response succeeds, `denial` is what the request was refused with. Who
    knows that the request is over sets `ended`, or commits; after that it decides and counts nothing.
    """

    __slots__ = ("_gate", "_method", "_organization", "_subject", "denial", "ended", "metrics")

    def __init__(self, gate: Gate, subject: Any, method: str) -> None:
        self._gate = gate
        self._subject = subject
        self._method = method
        self._organization: str | _Nobody | None = _Nobody.UNASKED
        self.metrics: tuple[str, ...] = ()
        self.denial: Denial | None = None
        self.ended = False

    @property
    def organization(self) -> str | None:
        """Whose request it is, as far as it was asked."""
        return self._organization if isinstance(self._organization, str) else None

    def admit(self, requirements: Requirements) -> Admission:
        """Let the request pass and note what it counts as, or say why not.

        Raises:
            ConfigurationError: the request has been answered already; its organization must not decide anything
                that happens later in the same context, such as in a task the request started.
        """
        if self.ended:
            raise ConfigurationError(
                "a gated or metered function ran after its request was answered; in background work, "
                "use flux.billing.is_entitled() and flux.billing.record_usage() with the organization's id"
            )
        if self._organization is _Nobody.UNASKED:
            try:
                answer = self._gate.organization(self._subject)
            except Exception as error:  # whatever the application's resolver raises
                self._organization_unavailable(error)
            else:
                # Asking an instance check first would cost more than all the rest on this path.
                if answer.__class__ is not str and inspect.isawaitable(answer):
                    return self._admit_later(answer, requirements)
                self._accept(answer)
        return self._decide(requirements)

    async def _admit_later(self, answer: Awaitable[str | None], requirements: Requirements) -> Denial | None:
        try:
            self._accept(await answer)
        except Exception as error:
            self._organization_unavailable(error)
        return self._decide(requirements)

    def _accept(self, answer: object) -> None:
        self._organization = None
        if answer is not None and answer != "":
            try:
                self._organization = require_organization(answer)
            except InvalidOrganizationError as error:
                self._gate.report("the organization resolver returned something else than an id", error)

    def _organization_unavailable(self, error: Exception) -> None:
        self._organization = _Nobody.UNAVAILABLE
        self._gate.report("the organization resolver failed", error)

    def _decide(self, requirements: Requirements) -> Denial | None:
        organization = self._organization
        if not isinstance(organization, str):
            return self._decide_for_nobody(requirements)
        for feature in requirements.features:
            reason = self._refusal(organization, feature)
            if reason is not None:
                return self._deny(feature, reason)
        if not self.metrics:
            self.metrics = requirements.metrics
        elif requirements.metrics:
            self.metrics = tuple(dict.fromkeys(self.metrics + requirements.metrics))
        return None

    def _decide_for_nobody(self, requirements: Requirements) -> Denial | None:
        unavailable = self._organization is _Nobody.UNAVAILABLE
        reason = DecisionReason.UNAVAILABLE if unavailable else DecisionReason.NO_ORGANIZATION
        return self._deny(requirements.features[0], reason) if requirements.features else None

    def _refusal(self, organization: str, feature: str) -> DecisionReason | None:
        billing = self._gate.billing
        try:
            if billing.is_entitled(organization, feature):
                return None
            decision = billing.check(organization, feature)
        except StoreError as error:
            self._gate.report("entitlements cannot be read; gated requests are refused", error)
            return DecisionReason.UNAVAILABLE
        return None if decision.allowed else decision.reason

    def _deny(self, feature: str, reason: DecisionReason) -> Denial:
        denial = denial_for(feature, reason)
        if self._method == "OPTIONS":
            denial = _NOTHING
        elif self._method == "HEAD":
            denial = replace(denial, body=b"")
        self.denial = denial
        return denial

    def answer(self, refused: Denial | Awaitable[Denial | None], render: Callable[[Denial], Any]) -> Any:
        """Return the response to give instead of the function's, or an awaitable of it (or of `None`: pass).

        `render` makes the framework's response; the application's `on_denied`, if it has one, goes first.
        """
        if not isinstance(refused, Denial):
            return self._answer_later(refused, render)
        on_denied = self._gate.on_denied
        if on_denied is None or refused is _NOTHING:
            return render(refused)
        answer = on_denied(self._subject, refused)
        if inspect.isawaitable(answer):
            return self._restyle_later(answer, refused, render)
        return render(refused) if answer is None else answer

    async def _answer_later(
        self, admission: Awaitable[Denial | None], render: Callable[[Denial], Any]
    ) -> Any:
        denial = await admission
        answer = None if denial is None else self.answer(denial, render)
        return await answer if inspect.isawaitable(answer) else answer

    async def _restyle_later(
        self, answer: Awaitable[Any], denial: Denial, render: Callable[[Denial], Any]
    ) -> Any:
        response = await answer
        return render(denial) if response is None else response

    def commit(self, status: int) -> None:
        """Count the request, once, if it was let pass and succeeded; never raises."""
        if self.ended:
            return
        self.ended = True
        if status >= _FIRST_ERROR_STATUS or self.denial is not None or self._method in _UNCOUNTED_METHODS:
            return
        organization = self._organization
        if isinstance(organization, str):
            for metric in self.metrics:
                self._record(organization, metric)

    def _record(self, organization: str, metric: str) -> None:
        try:
            self._gate.billing.record_usage(organization, metric, 1)
        except Exception as error:  # a request is never broken by metering
            self._gate.report("usage could not be recorded and is lost", error)
