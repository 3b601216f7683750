"""System checks: what a project would otherwise learn from its first request."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004  Django's word
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from flux_django.conf import configured_gate
from flux_django.decorators import asked_for
from flux_middleware.errors import ConfigurationError

__all__ = ["check_installation"]

_MIDDLEWARE = "flux_django.middleware.FluxMiddleware"


def check_installation(**_: Any) -> list[CheckMessage]:
    """Report decorators without the middleware, and a middleware without a usable FLUX setting."""
    if _MIDDLEWARE in settings.MIDDLEWARE:
        return _check_setting()
    _load_views()
    if not asked_for:
        return []
    return [
        Warning(
            f"views are gated or metered ({', '.join(sorted(asked_for))}), but FluxMiddleware is not installed",
            hint=f'add "{_MIDDLEWARE}" to MIDDLEWARE, after the authentication',
            id="flux.W001",
        )
    ]


def _check_setting() -> list[CheckMessage]:
    try:
        configured_gate()
    except ConfigurationError as error:
        return [Error(str(error), id="flux.E001")]
    return []


def _load_views() -> None:
    """Import the views, so that their decorators have run; Django's own checks report it if that fails."""
    try:
        _ = get_resolver().url_patterns
    except (ImproperlyConfigured, ImportError, AttributeError):
        return
