"""A server over HTTP, for commands that run anywhere: FLUX_URL says where it is, FLUX_API_KEY who asks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from flux_middleware.errors import FluxError

__all__ = ["DEFAULT_URL", "Remote", "RemoteError", "organization_path"]

DEFAULT_URL = "http://127.0.0.1:8400"

_TIMEOUT = httpx.Timeout(60, connect=10)


class RemoteError(FluxError):
    """The server cannot be asked, or refuses; the message says what to do.

    Of a refusal, `code` is the problem's, and `errors` what it lists as wrong.
    """

    def __init__(self, message: str, *, code: str = "", errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.errors = errors


def organization_path(organization: str) -> str:
    """Return the address of an organization."""
    return f"/v1/organizations/{quote(organization, safe='')}"


class Remote:
    """Requests to one server under one API key. Use it as a context manager."""

    def __init__(self, url: str) -> None:
        key = os.environ.get("FLUX_API_KEY", "")
        if not key.isascii() or not key.isprintable() or not key:
            raise RemoteError("set FLUX_API_KEY to an API key; `flux keys create --scope read` makes one")
        self._url = url.rstrip("/")
        self._environment = key.removeprefix("flux_").partition("_")[0]
        try:
            self._http = httpx.Client(
                base_url=self._url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=_TIMEOUT,
                transport=httpx.HTTPTransport(retries=2),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise RemoteError(f"FLUX_URL is no address: {error}") from error

    @property
    def url(self) -> str:
        """Return the server's address."""
        return self._url

    @property
    def environment(self) -> str:
        """Return the environment that the API key belongs to."""
        return self._environment

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int | None) -> dict[str, Any]:
        """Return what the server answers."""
        given = {name: value for name, value in params.items() if value is not None}
        return self._answer(self._http.build_request("GET", path, params=given))

    def post(self, path: str, content: bytes, content_type: str, **params: str) -> dict[str, Any]:
        """Send the content and return what the server answers."""
        headers = {"Content-Type": content_type}
        request = self._http.build_request("POST", path, content=content, headers=headers, params=params)
        return self._answer(request)

    def put(self, path: str, content: bytes, *, only_if: str | None = None, **params: str) -> dict[str, Any]:
        """Put the JSON there, if what is there has the entity tag `only_if`; return what the server answers."""
        headers = {"Content-Type": "application/json"}
        if only_if is not None:
            headers["If-Match"] = only_if
        return self._answer(
            self._http.build_request("PUT", path, content=content, headers=headers, params=params)
        )

    def delete(self, path: str) -> dict[str, Any]:
        """Delete what is there; return what the server answers, which may be nothing."""
        return self._answer(self._http.build_request("DELETE", path))

    @contextmanager
    def pieces(self, path: str, **params: str) -> Iterator[Iterator[bytes]]:
        """Return the body of what the server answers, piece by piece, for the length of the block."""
        with self._translated():
            answer = self._http.send(self._http.build_request("GET", path, params=params), stream=True)
            try:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                yield answer.iter_bytes()
            finally:
                answer.close()

    def _answer(self, request: httpx.Request) -> dict[str, Any]:
        with self._translated():
            answer = self._http.send(request)
            if not answer.is_success:
                raise _refusal(answer)
            body: dict[str, Any] = answer.json() if answer.content else {}
            return body

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise RemoteError(
                f"the server at {self._url} cannot be reached ({error}); does it run, and is FLUX_URL right?"
            ) from error
        except ValueError as error:
            raise RemoteError(f"what answers at {self._url} is no Flux server; is FLUX_URL right?") from error


def _refusal(answer: httpx.Response) -> RemoteError:
    try:
        problem = answer.json()
        return RemoteError(
            str(problem["detail"]), code=str(problem["code"]), errors=problem.get("errors", ())
        )
    except (ValueError, KeyError, TypeError):
        return RemoteError(
            f"the server answers {answer.status_code} {answer.reason_phrase}; is FLUX_URL right?"
        )
