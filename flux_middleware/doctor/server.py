"""Does the server answer, this key, soon, by the same clock, and does its stream get through?"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from flux_middleware.doctor.finding import Finding, ok, problem, warning
from flux_middleware.errors import (
    InvalidApiKeyError,
    SchemaVersionError,
    ScopeError,
    ServerRefusedError,
    ServerUnreachableError,
    TransportError,
)
from flux_middleware.snapshot import Hello
from flux_middleware.transport import StreamEvent, Transport
from flux_middleware.wire import require_schema

__all__ = ["Greeting", "check_clock", "check_server", "check_stream"]

_NEW_KEY: Final = "make another with `flux keys create --scope sdk` and set FLUX_API_KEY to it"
_FIXES: Final[tuple[tuple[type[TransportError], str], ...]] = (
    (InvalidApiKeyError, _NEW_KEY),
    (ScopeError, _NEW_KEY),
    (SchemaVersionError, "upgrade flux-middleware on this host"),
    (ServerRefusedError, "read the server's log; is FLUX_URL the address of a Flux server, without a path?"),
    (ServerUnreachableError, "see that the server runs there and that this host may connect to it"),
    (TransportError, "set FLUX_URL to the address of a Flux server"),
)
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_HEARTBEAT: Final = 1.0
_SMALL_SKEW: Final = 5.0
_LARGE_SKEW: Final = 60.0


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server said of itself, its date, and between which moments of this host's clock it said so."""

    hello: Hello
    date: str
    began: float
    ended: float


def check_server(
    transport: Transport, environment: str, environ: Mapping[str, str], clock: Callable[[], float]
) -> tuple[Finding, Greeting | None]:
    """Ask the server which environment the key is of; return its answer."""
    began = clock()
    try:
        hello, date = transport.greet()
        require_schema(hello.schema)
    except TransportError as error:
        return problem("server", str(error), _fix(error, environ)), None
    ended = clock()
    if hello.environment != environment:
        detail = f"the key says that it is of {environment}, the server says of {hello.environment}"
        return problem("server", detail, _NEW_KEY), None
    detail = (
        f"answers in {(ended - began) * 1000:.0f} ms; environment {environment}, revision {hello.revision}"
    )
    return ok("server", detail), Greeting(hello, date, began, ended)


def check_clock(greeting: Greeting) -> Finding:
    """Compare this host's clock with the server's: trials and cancellations end by this one."""
    try:
        second = email.utils.parsedate_to_datetime(greeting.date).timestamp()
    except ValueError:
        return warning(
            "clock", "the server does not say what time it is", "see that no proxy takes Date away"
        )
    # It was that second, at some moment while this host waited; what cannot be so is the skew.
    ahead, behind = greeting.began - (second + 1), second - greeting.ended
    skew = max(ahead, behind)
    where = "ahead of" if ahead > behind else "behind"
    detail = f"this host's clock is {skew:.0f} seconds {where} the server's"
    fix = "let both follow the time by NTP: what ends, ends by this host's clock"
    if skew > _LARGE_SKEW:
        return problem("clock", detail, fix)
    if skew > _SMALL_SKEW:
        return warning("clock", detail, fix)
    return ok("clock", "the same as the server's, as far as a second can tell")


def check_stream(transport: Transport, hello: Hello) -> Finding:
    """See whether what the server pushes arrives."""
    began = time.perf_counter()
    try:
        with transport.stream(hello.revision, usage_since=0, heartbeat=_HEARTBEAT) as events:
            name = _first(events)
    except TransportError as error:
        fix = "let whatever is between this host and the server pass /v1/stream on as it comes, without buffering"
        return problem("stream", f"nothing of it arrives: {error}", fix)
    milliseconds = (time.perf_counter() - began) * 1000
    return ok("stream", f"{name} arrives after {milliseconds:.0f} ms")


def _first(events: Iterator[list[StreamEvent]]) -> str:
    for together in events:
        for event in together:
            return event.name
    raise ServerUnreachableError("it ended at once")


def _fix(error: TransportError, environ: Mapping[str, str]) -> str:
    fix = next(text for kind, text in _FIXES if isinstance(error, kind))
    proxies = [name for name in _PROXIES if environ.get(name) or environ.get(name.lower())]
    if proxies and isinstance(error, ServerUnreachableError):
        fix += f"; it is asked through {' and '.join(proxies)}, unless NO_PROXY names it"
    return fix
