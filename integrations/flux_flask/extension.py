"""Binds each request of a Flask application to the gate, and counts it when its response is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

import flask

import flux_middleware
from flux_middleware.decorators import require_gated
from flux_middleware.errors import ConfigurationError
from flux_middleware.gate import Client, Gate, GatedRequest, OnDenied, OrganizationResolver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Flux", "current_request"]

_current: ContextVar[GatedRequest] = ContextVar("flux_request")
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None


class Flux:
    """Gate and meter the decorated views of the applications it is initialized with.

    `organization` is called with the request, at most once a request, and returns the id of the organization
    whose plan counts, or `None`; it may be asynchronous. `client` is the one `flux.init()` made unless given.
    `on_denied` is called with the request and a `Denial` and returns a response, or `None` for the usual one.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        organization: OrganizationResolver,
        client: Client | None = None,
        on_denied: OnDenied | None = None,
    ) -> None:
        self._gate = Gate(
            flux_middleware.billing if client is None else client.billing, organization, on_denied
        )
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Install on `app`; doing so again changes nothing."""
        if "flux" not in app.extensions:
            app.extensions["flux"] = self
            app.wsgi_app = _GatedApplication(app.wsgi_app, self._gate, app.view_functions)  # type: ignore[method-assign]  # how Flask has it done


def current_request() -> GatedRequest:
    """Return the request being served here.

    Raises:
        ConfigurationError: none is, or the application lacks the extension.
    """
    try:
        return _current.get()
    except LookupError:
        raise ConfigurationError(
            "a gated or metered function was called outside of a request that the Flux extension has seen; add "
            "`Flux(app, organization=...)` to the application (from flux_flask)"
        ) from None


class _GatedApplication:
    """The WSGI application, seen from where the final status is known and every exception passes by."""

    def __init__(self, app: WSGIApplication, gate: Gate, views: dict[str, Callable[..., Any]]) -> None:
        self._app = app
        self._gate = gate
        self._views: dict[str, Callable[..., Any]] | None = views

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._views is not None:
            self._inspect(self._views)
        request = GatedRequest(self._gate, flask.request, environ["REQUEST_METHOD"])
        status = 0
        sized = False

        def start(
            line: str, headers: list[tuple[str, str]], exc_info: _ExcInfo = None, /
        ) -> Callable[[bytes], object]:
            nonlocal status, sized
            if request.metrics:
                status = int(line[:3])
                sized = any(name.lower() == "content-length" for name, _ in headers)
            return start_response(line, headers, exc_info)

        token = _current.set(request)
        try:
            body = self._app(environ, start)
        finally:
            _current.reset(token)
        if request.metrics and not sized:
            return _CountedBody(body, request, status)
        # Before it is sent, so that whoever reads the answer can read the count; and the body stays as it is.
        request.commit(status)
        return body

    def _inspect(self, views: dict[str, Callable[..., Any]]) -> None:
        """Look once, at the first request, whether a view is served without the gate written above it."""
        for view in views.values():
            require_gated(view)
        self._views = None


class _CountedBody:
    """A streamed body; counted when it ends, also when the client leaves, but not when it fails."""

    def __init__(self, body: Iterable[bytes], request: GatedRequest, status: int) -> None:
        self._chunks = iter(body)
        self._close: Callable[[], object] = getattr(body, "close", _nothing)
        self._request = request
        self._status = status

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            self._request.commit(self._status)
            raise
        except BaseException:
            self._request.ended = True
            raise

    def close(self) -> None:
        try:
            self._close()
        finally:
            self._request.commit(self._status)


def _nothing() -> None:
    """Close a body that has nothing to close."""
