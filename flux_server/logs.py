"""Logs: to standard error, for people or as JSON lines, and never with a secret in them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from flux_server.settings import Settings

__all__ = ["configure_logs", "redact"]

_SECRETS = (
    re.compile(r"(flux_[a-z0-9-]{1,32}_)[A-Za-z0-9_-]{8,}"),
    re.compile(r"\b((?:sk|rk)_(?:test_|live_)?)[A-Za-z0-9_]{4,}"),
    re.compile(r"\b(whsec_)[A-Za-z0-9+/=_-]{4,}"),
    re.compile(r"(/(?:setup|webhooks)/)[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?i)\b((?:bearer|basic) )[A-Za-z0-9._~+/=-]{4,}"),
    re.compile(r"(://[^/\s:@]*:)[^\s]+(?=@)"),  # to the last @: a password may hold others
)
_SECRET_NAMES = ("authorization", "cookie", "password", "secret", "api_key", "token")
_PLAIN = (bool, int, float, type(None))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Blot out secrets, whether a value is one by its name or only looks like one."""
    return {name: _redacted(name, value) for name, value in event.items()}


def configure_logs(settings: Settings) -> None:
    """Send this process' logs, the libraries' included, to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("httpx", "httpcore", "stripe", "aiosqlite", "alembic", "asyncio", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(default=str)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if any(secret in name.lower() for secret in _SECRET_NAMES):
        return "[redacted]"
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(name, inner) for inner in value]
    # Whatever else there is, an exception or a URL, a renderer would write as text.
    return _redacted_text(value if isinstance(value, str) else repr(value))


def _redacted_text(text: str) -> str:
    for secret in _SECRETS:
        text = secret.sub(r"\1[redacted]", text)
    return text
