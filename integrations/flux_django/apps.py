"""The application configuration; "flux_django" in INSTALLED_APPS is only needed for the system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from flux_django.checks import check_installation

__all__ = ["FluxConfig"]


class FluxConfig(AppConfig):
    """Register the system checks; no thread, no socket, no file."""

    name = "flux_django"
    label = "flux"
    verbose_name = "Flux"

    def ready(self) -> None:
        """Register the system checks."""
        register(check_installation)
