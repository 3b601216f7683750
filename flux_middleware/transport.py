"""The only module that opens sockets: asks the server, and says what went wrong in the words of `errors`."""

from __future__ import annotations

import functools
import socket
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from flux_middleware.clock import read_now
from flux_middleware.errors import (
    InvalidApiKeyError,
    InvalidRecordError,
    ScopeError,
    ServerRefusedError,
    ServerUnreachableError,
    TransportError,
)
from flux_middleware.snapshot import Hello, UsageBatch, UsageReceipt, decode, encode

if TYPE_CHECKING:
    import httpx  # noqa: TC004  at runtime, `_import_everything` brings it
    import httpx_sse  # noqa: TC004

__all__ = ["ClockAddress", "StreamEvent", "Transport"]

_CONNECT_SECONDS = 5.0
_SNAPSHOT_SECONDS = 30.0
_USAGE_SECONDS = 5.0
_CLOCK_SECONDS = 1.0
_SILENT_HEARTBEATS = 5
"""A stream that misses this many heartbeats is dead, whatever the operating system says."""

_REFUSALS: Final = {401: InvalidApiKeyError, 403: ScopeError}
_PAUSE = "received-so-far"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of the stream; `id` is the revision it completes, where it completes one."""

    name: str
    data: str
    id: int | None = None


class Transport:
    """Speaks to one server with one API key. Used by one thread, except for `interrupt` and `forget`."""

    def __init__(self, url: str, api_key: str) -> None:
        _import_everything()
        self.url = url
        self._api_key = api_key
        # Replaced, never changed, so that other threads can go through them.
        self._sockets: tuple[weakref.ref[socket.socket], ...] = ()
        self._is_interrupted = False
        self._opened: httpx.Client | None = None

    @contextmanager
    def snapshot(self) -> Iterator[Iterator[str]]:
        """Open a snapshot: its lines, as they arrive."""
        with self._open("/v1/snapshot", {}, {}, read=_SNAPSHOT_SECONDS) as response:
            yield self._reading(response.iter_lines())

    @contextmanager
    def stream(
        self, revision: int, *, usage_since: int, heartbeat: float
    ) -> Iterator[Iterator[list[StreamEvent]]]:
        """Open the stream of what follows `revision`: lists of the events that arrived together."""
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
            "Last-Event-ID": str(revision),
        }
        parameters = {"usage_since": usage_since, "heartbeat": heartbeat}
        read = max(heartbeat * _SILENT_HEARTBEATS, 1.0)
        with self._open("/v1/stream", parameters, headers, read=read) as response:
            yield self._reading(_events(response))

    def greet(self) -> tuple[Hello, str]:
        """Ask which environment the API key is of; return that, and the server's date as HTTP has it."""
        with self._translated():
            response = self._client.get("/v1/environment", extensions={"trace": self._trace})
            _require_success(response)
            return decode(response.content, Hello), response.headers.get("date", "")

    def send_usage(self, batch: UsageBatch, *, timeout: float = _USAGE_SECONDS) -> UsageReceipt:
        """Send totals; the receipt says which were kept."""
        with self._translated():
            response = self._client.post(
                "/v1/usage",
                content=encode(batch),
                headers={"Content-Type": "application/json"},
                timeout=max(0.05, min(timeout, _USAGE_SECONDS)),
                extensions={"trace": self._trace},
            )
            _require_success(response)
            return decode(response.content, UsageReceipt)

    def interrupt(self) -> None:
        """Make every request fail, at once if it is under way; may be called from another thread."""
        self._is_interrupted = True
        for each in self._alive():
            _cut(each)

    def forget(self) -> None:
        """In a forked child: let go of the parent's sockets without a word to the server."""
        for each in self._alive():
            with suppress(OSError):
                each.close()

    def close(self) -> None:
        """Close all connections; for the thread that uses them."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _client(self) -> httpx.Client:
        if self._is_interrupted:
            raise ServerUnreachableError(f"{self.url} is not asked any more; the client was shut down")
        if (
            self._opened is None
        ):  # not earlier, for it reads certificates: a child that only forks need not wait
            self._opened = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {self._api_key}", "User-Agent": "flux-middleware"},
                timeout=httpx.Timeout(_CONNECT_SECONDS),
            )
        return self._opened

    def _alive(self) -> list[socket.socket]:
        return [opened for each in self._sockets if (opened := each()) is not None]

    @contextmanager
    def _open(
        self, path: str, parameters: Mapping[str, float], headers: Mapping[str, str], *, read: float
    ) -> Iterator[httpx.Response]:
        with self._translated():
            request = self._client.build_request(
                "GET",
                path,
                params=parameters,
                headers=headers,
                timeout=httpx.Timeout(_CONNECT_SECONDS, read=read),
                extensions={"trace": self._trace},
            )
            response = self._client.send(request, stream=True)
        try:
            if not response.is_success:
                with self._translated():
                    response.read()
            _require_success(response)
            yield response
        finally:
            response.close()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            opened = info["return_value"].get_extra_info("socket")
            if opened is not None:
                self._sockets = (*map(weakref.ref, self._alive()), weakref.ref(opened))
                if self._is_interrupted:
                    _cut(opened)

    def _reading(self, pieces: Iterator[_T]) -> Iterator[_T]:
        with self._translated():
            yield from pieces

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.DecodingError, httpx_sse.SSEError, InvalidRecordError) as error:
            raise TransportError(f"{self.url} does not answer as a Flux server does: {error}") from error
        except httpx.TimeoutException as error:
            raise ServerUnreachableError(f"{self.url} does not answer ({type(error).__name__})") from error
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachableError(f"cannot reach {self.url}: {error}") from error


class ClockAddress:
    """Asks what time it is, at an address that need not be the server's: it is told no API key."""

    def __init__(self, url: str) -> None:
        _import_everything()
        self._url = url
        self._opened: httpx.Client | None = None

    def ask(self) -> float:
        """Return the seconds since the epoch that the address answers.

        Raises:
            ServerUnreachableError: nothing answers there.
            TransportError: what answers is no clock.
        """
        try:
            answer = self._client.get(self._url).raise_for_status()
            return read_now(answer.content)
        except (httpx.HTTPStatusError, httpx.DecodingError, InvalidRecordError) as error:
            raise TransportError(
                f"FLUX_CLOCK_URL: {self._url} does not answer as a clock does: {error}"
            ) from error
        except (httpx.TransportError, httpx.StreamError) as error:
            raise ServerUnreachableError(f"FLUX_CLOCK_URL: {self._url} cannot be reached") from error

    def close(self) -> None:
        """Close all connections."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _client(self) -> httpx.Client:
        if self._opened is None:
            self._opened = httpx.Client(
                # A connection is left to no fork.
                limits=httpx.Limits(max_keepalive_connections=0),
                timeout=_CLOCK_SECONDS,
            )
        return self._opened


@functools.cache
def _import_everything() -> None:
    """Import httpx, and let it import what it would with its first request.

    Not earlier: it takes as long as all of Flux, and some processes that import Flux never ask anybody. Not later: the
    first request is made in the background, and a fork in the middle of another thread's import leaves the child with
    an import that waits for ever.
    """
    global httpx, httpx_sse
    import httpx
    import httpx_sse

    httpx.Client().close()
    "localhost".encode("idna")


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        # Not SSLSocket's own: it takes the TLS state away from under the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _require_success(response: httpx.Response) -> None:
    if response.is_success:
        return
    refusal = _REFUSALS.get(response.status_code, ServerRefusedError)
    raise refusal(response.status_code, _detail(response), retry_after=_retry_after(response))


def _detail(response: httpx.Response) -> str:
    if response.is_redirect:
        return (
            f"redirects are not followed; set FLUX_URL to {response.headers.get('location', 'its target')!r}"
        )
    try:
        problem = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return response.reason_phrase
    detail = problem.get("detail") if isinstance(problem, dict) else None
    return str(detail or response.reason_phrase)[:300]


def _retry_after(response: httpx.Response) -> float | None:
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else None


def _events(response: httpx.Response) -> Iterator[list[StreamEvent]]:
    # EventSource asks for no more of a response than its headers and its text.
    source = httpx_sse.EventSource(cast("httpx.Response", _Pausing(response)))
    together: list[StreamEvent] = []
    for event in source.iter_sse():
        if event.event != _PAUSE:
            together.append(
                StreamEvent(event.event, event.data, int(event.id) if event.id.isdecimal() else None)
            )
        elif together:
            yield together
            together = []


class _Pausing:
    """A response's text with an event of our own where, for the moment, no more has arrived.

    Events that arrive together are committed together: otherwise catching up would cost a disk write an event.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self._response = response

    def iter_text(self) -> Iterator[str]:
        for text in self._response.iter_text():
            yield text
            if text.endswith("\n\n"):
                yield f"event: {_PAUSE}\n\n"
