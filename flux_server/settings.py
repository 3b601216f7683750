"""What an operator can set: every `FLUX_…` variable of the server, and the secret key it keeps in a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from flux_server.errors import StartError

__all__ = ["Settings", "prepare"]

_SECRET_FILE = "secret.key"  # noqa: S105  the name of the file, not a secret
_SHORTEST_SECRET = 32
_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")


class Settings(BaseSettings):
    """The server's settings, each from its argument or from `FLUX_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="FLUX_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8400, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    public_url: str = Field("", description="Address that people and Stripe reach the server at.")
    data_dir: Path = Field(Path("flux-data"), description="Directory of the SQLite file and the secret key.")
    database_url: str = Field(
        "", description="sqlite+aiosqlite:///… or postgresql+asyncpg://…; a file in data_dir otherwise."
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="Encrypts what is secret in the database; a file in data_dir otherwise."
    )
    stripe_api_base: str | None = Field(None, description="Another address for Stripe's API: a sandbox.")
    clock_url: str | None = Field(
        None, description="For development: an address that tells the time to go by, such as a sandbox's."
    )
    forward_interval: float = Field(
        300,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds between two forwards of usage to Stripe.",
    )
    event_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Days for which Stripe's events are kept, to be looked at and replayed.",
    )
    heartbeat: float = Field(
        15, ge=0.2, le=60, allow_inf_nan=False, description="Seconds between two heartbeats of a stream."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least serious lines to log: debug, info, warning or error."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people (console), or one JSON object a line (json)."
    )

    @field_validator("public_url", "stripe_api_base", "clock_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(
                    "give an address like https://flux.example.com, without anything after its path"
                )
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        if not value:
            return value
        try:
            url = make_url(value)
        except ArgumentError:
            raise ValueError(f"give a URL that begins with {' or '.join(_DRIVERS)}, then ://") from None
        if url.drivername not in _DRIVERS:
            raise ValueError(
                f"it begins with {url.drivername!r:.50}; let it begin with {' or '.join(_DRIVERS)}"
            )
        if "sslmode" in url.query:
            raise ValueError("write ssl=… for sslmode=…, as asyncpg calls it")
        return value

    @property
    def url(self) -> str:
        """Return the address of the dashboard and the API, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def database(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite+aiosqlite:///{(self.data_dir / 'flux.sqlite3').absolute()}"


def prepare(settings: Settings) -> Settings:
    """Make the data directory and the secret key if they are missing; return the settings with the key filled in.

    Raises:
        StartError: the directory cannot be made or written, or the key is too short to keep anything secret.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = settings.secret_key.get_secret_value() or _kept_secret(settings.data_dir / _SECRET_FILE)
    except OSError as error:
        raise StartError(
            f"the data directory {str(settings.data_dir)!r} cannot be used ({error.strerror}); make it writable "
            "for this user, or name another with --data-dir or FLUX_DATA_DIR"
        ) from error
    except UnicodeDecodeError as error:
        raise StartError(
            f"{str(settings.data_dir / _SECRET_FILE)!r} is not text; put {_SHORTEST_SECRET} or more random letters "
            "and digits in it, or take it away and let the server make one"
        ) from error
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        raise StartError(
            f"the data directory {str(settings.data_dir)!r} is not writable; make it writable for this user, or "
            "name another with --data-dir or FLUX_DATA_DIR"
        )
    if len(key) < _SHORTEST_SECRET:
        raise StartError(
            f"the secret key has {len(key)} characters; give FLUX_SECRET_KEY {_SHORTEST_SECRET} or more random ones, "
            f"or none and let {_SECRET_FILE} in the data directory hold what the server makes"
        )
    return settings.model_copy(update={"secret_key": SecretStr(key)})


def _kept_secret(path: Path) -> str:
    """Read the key, or make one. Linked into place complete, so two processes starting at once agree on it."""
    if not path.exists():
        new = path.with_name(f".{_SECRET_FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(new, path)
        except FileExistsError:
            pass
        finally:
            new.unlink()
    return path.read_text().strip()
