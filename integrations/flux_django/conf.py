"""The FLUX setting, read when it is first needed and again when a test overrides it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

import flux_middleware
from flux_middleware.errors import ConfigurationError
from flux_middleware.gate import Gate

__all__ = ["configured_gate"]

_KEYS = {"ORGANIZATION", "ON_DENIED", "CLIENT"}
_EXAMPLE = 'add FLUX = {"ORGANIZATION": "path.to.function"} to the settings'


@functools.cache
def configured_gate() -> Gate:
    """Return the gate that the FLUX setting describes.

    Raises:
        ConfigurationError: the setting is missing or wrong.
    """
    options = getattr(settings, "FLUX", None)
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"the FLUX setting is missing; {_EXAMPLE}")
    unknown = set(options) - _KEYS
    if unknown or "ORGANIZATION" not in options:
        wrong = (
            f"has unknown keys: {', '.join(sorted(map(str, unknown)))}"
            if unknown
            else "names no ORGANIZATION"
        )
        raise ConfigurationError(f"the FLUX setting {wrong}; {_EXAMPLE}")
    organization, on_denied = _loaded(options["ORGANIZATION"]), _loaded(options.get("ON_DENIED"))
    client = _loaded(options.get("CLIENT"))
    return Gate(flux_middleware.billing if client is None else client.billing, organization, on_denied)


def _loaded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ConfigurationError(
            f"the FLUX setting names {value!r}, which cannot be imported: {error}"
        ) from error


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "FLUX":
        configured_gate.cache_clear()


setting_changed.connect(_forget, dispatch_uid="flux_django.conf")
