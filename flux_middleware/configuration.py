"""Where the client's settings come from, and that they are right: without asking the network."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flux_middleware.errors import ConfigurationError
from flux_middleware.policies import NO_POLICIES, Policies

__all__ = [
    "DEFAULT_URL",
    "JOURNALS",
    "STORE",
    "Configuration",
    "clock_url",
    "environment_of",
    "places",
    "read_configuration",
    "require_url",
]

DEFAULT_URL: Final = "http://127.0.0.1:8400"

STORE: Final = "store-1"
"""Directory, within the client's, of what is known and of the locks that go with this format of it."""

JOURNALS: Final = "journals"
"""Directory, within the client's, of usage."""

_KEY = re.compile(r"flux_([a-z0-9-]{1,32})_[A-Za-z0-9_-]{8,}\Z")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Whom to ask, as whom, and where this host keeps what it knows."""

    api_key: str = field(repr=False)
    environment: str
    url: str
    directory: Path
    clock_url: str | None = None
    policies: Policies = NO_POLICIES


def read_configuration(
    api_key: str | None,
    url: str | None,
    directory: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    policies: Policies = NO_POLICIES,
) -> Configuration:
    """Take arguments, then FLUX_API_KEY, FLUX_URL and FLUX_DIRECTORY, then defaults; make the directory.

    FLUX_CLOCK_URL has no argument: it belongs to the place where an application is developed.

    Raises:
        ConfigurationError: something is missing or wrong.
    """
    key = api_key or environ.get("FLUX_API_KEY", "")
    environment = environment_of(key)
    server = require_url("FLUX_URL", "the Flux server", url or environ.get("FLUX_URL") or DEFAULT_URL)
    clock = clock_url(environ.get("FLUX_CLOCK_URL"), environment)
    own = _first_usable(places(environment, server, directory, environ))
    return Configuration(key, environment, server, own, clock, policies)


def places(
    environment: str, url: str, directory: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> list[Path]:
    """Return where the client may keep what it knows; it takes the first that it can."""
    name = f"{environment}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    given = directory or environ.get("FLUX_DIRECTORY")
    return [place / name for place in ([Path(given)] if given else _default_places(environ))]


def environment_of(api_key: str) -> str:
    """Return the environment that the API key says it belongs to.

    Raises:
        ConfigurationError: it is missing or malformed.
    """
    if not api_key:
        raise ConfigurationError(
            "there is no API key; pass flux.init(api_key) or set FLUX_API_KEY "
            "(make one with `flux keys create --scope sdk`)"
        )
    match = _KEY.match(api_key)
    if match is None:
        raise ConfigurationError("the API key is malformed; it looks like flux_<environment>_<secret>")
    return match[1]


def clock_url(url: str | None, environment: str) -> str | None:
    """Return the address of the clock that turns the time, if there is one.

    Raises:
        ConfigurationError: it cannot be one, or time must not be turned in the environment.
    """
    if not url:
        return None
    if environment == "live":
        raise ConfigurationError(
            "FLUX_CLOCK_URL turns the time, for development, and this API key is of environment live, where plans "
            "begin and end in real time; unset FLUX_CLOCK_URL, or use a key of another environment"
        )
    return require_url("FLUX_CLOCK_URL", "a clock", url)


def require_url(name: str, what: str, url: str) -> str:
    """Return the address of a server, without a slash at its end; `name` sets it, `what` stands there.

    Raises:
        ConfigurationError: it cannot be one.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise ConfigurationError(f"{name} is the http(s) address of {what}, not {url!r:.200}")
    return url.rstrip("/")


def _first_usable(directories: list[Path]) -> Path:
    problems = []
    for directory in directories:
        try:
            return _own_directory(directory)
        except ConfigurationError as error:
            problems.append(str(error))
    raise ConfigurationError("; ".join(problems))


def _default_places(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("XDG_STATE_HOME"):
        yield Path(environ["XDG_STATE_HOME"]) / "flux"
    elif environ.get("HOME"):
        yield Path(environ["HOME"]) / ".local" / "state" / "flux"
    yield Path(tempfile.gettempdir()) / f"flux-{os.getuid()}"


def _own_directory(path: Path) -> Path:
    """Make the directory for this user alone; in a shared place, another user may have made it first."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        owner = path.lstat()
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep anything in {path} ({error}); set FLUX_DIRECTORY to a directory of this user's"
        ) from error
    if owner.st_uid != os.geteuid() or path.is_symlink():
        raise ConfigurationError(
            f"{path} belongs to another user; set FLUX_DIRECTORY to a directory of this user's"
        )
    if owner.st_mode & 0o077:
        path.chmod(0o700)
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{path} cannot be written to; set FLUX_DIRECTORY to a directory of this user's"
        )
    return path
