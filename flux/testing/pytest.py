"""The pytest plugin: `pytest_plugins = ["flux.testing.pytest"]`."""

from flux_middleware.testing.pytest import *  # noqa: F403  pytest finds fixtures and hooks by their names
from flux_middleware.testing.pytest import __all__ as __all__
from flux_middleware.testing.pytest import _flux_catalog as _flux_catalog
