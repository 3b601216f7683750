"""Is the client told whom to ask, and as whom?"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from flux_middleware.configuration import DEFAULT_URL, clock_url, environment_of, require_url
from flux_middleware.doctor.finding import Finding, ok, problem, warning
from flux_middleware.errors import ConfigurationError
from flux_middleware.wire import SCHEMA

__all__ = ["check_clock_url", "check_key", "check_url", "check_versions"]

_LIBRARIES: Final = ("httpx", "lmdb", "msgspec", "filelock")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def check_versions() -> Finding:
    """Say what is installed."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    own = f"flux-middleware {version('flux-middleware')} (schema {SCHEMA})"
    return ok("versions", f"{own}, Python {platform.python_version()}, {libraries}")


def check_key(environ: Mapping[str, str]) -> tuple[Finding, str | None]:
    """Look at the API key without asking anybody; return the environment that it says it is of."""
    key = environ.get("FLUX_API_KEY", "")
    try:
        environment = environment_of(key)
    except ConfigurationError as error:
        if key != key.strip():
            fix = "there is white space around the key in FLUX_API_KEY; take it away"
        else:
            fix = "set FLUX_API_KEY, here as for the application, to what `flux keys create --scope sdk` printed"
        return problem("key", str(error), fix), None
    return ok("key", f"FLUX_API_KEY is of the environment {environment}"), environment


def check_url(url: str | None, environ: Mapping[str, str]) -> tuple[Finding, str | None]:
    """Look at the server's address without asking it; return it."""
    given = url or environ.get("FLUX_URL")
    try:
        server = require_url("FLUX_URL", "the Flux server", given or DEFAULT_URL)
    except ConfigurationError as error:
        return problem("url", str(error), "set FLUX_URL, such as https://flux.internal"), None
    parts = urlsplit(server)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        fix = "use https, unless nobody else can listen to this network"
        return warning("url", f"the API key goes to {server} in the clear", fix), server
    return ok("url", server if given else f"{server}, as FLUX_URL is not set"), server


def check_clock_url(environ: Mapping[str, str], environment: str) -> Finding | None:
    """Say so if the time is turned, which is for development."""
    try:
        address = clock_url(environ.get("FLUX_CLOCK_URL"), environment)
    except ConfigurationError as error:
        return problem("clock-url", str(error), "unset FLUX_CLOCK_URL")
    if address is None:
        return None
    detail = f"plans begin and end by the clock at {address}"
    return warning("clock-url", detail, "unset FLUX_CLOCK_URL, unless this is for development")
