"""What an operator can set: every `FLUX_…` variable of the server, and the secret key it keeps in a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from flux_server.errors import StartError

__all__ = ["Settings", "prepare"]

_SECRET_FILE = "secret.key"  # noqa: S105  the name of the file, not a secret


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
    forward_interval: float = Field(300, gt=0, description="Seconds between two forwards of usage to Stripe.")
    heartbeat: float = Field(15, ge=0.2, le=60, description="Seconds between two heartbeats of a stream.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

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
        StartError: the directory cannot be made or written.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = settings.secret_key.get_secret_value() or _kept_secret(settings.data_dir / _SECRET_FILE)
    except OSError as error:
        raise StartError(
            f"the data directory {str(settings.data_dir)!r} cannot be used ({error.strerror}); make it writable "
            "for this user, or name another with --data-dir or FLUX_DATA_DIR"
        ) from error
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        raise StartError(
            f"the data directory {str(settings.data_dir)!r} is not writable; make it writable for this user, or "
            "name another with --data-dir or FLUX_DATA_DIR"
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
