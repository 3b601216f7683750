"""The pytest plugin: `pytest_plugins = ["flux.testing.pytest"]` in the conftest.py next to your pytest settings.

From then on nothing that goes through `flux.init()` and `flux.billing` reaches a server, and each test has an
in-memory client of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_middleware.catalog import Catalog
from flux_middleware.plans_file import read_plans_file
from flux_middleware.testing.blocks import in_memory
from flux_middleware.testing.client import InMemoryFlux

__all__ = ["flux_catalog", "flux_testing", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Let an in-memory client answer also while tests are collected: applications begin with flux.init()."""
    block = in_memory()
    block.__enter__()
    config.add_cleanup(lambda: block.__exit__(None, None, None))


@pytest.fixture(scope="session")
def flux_catalog() -> str | os.PathLike[str] | Catalog | None:
    """What there is to sell, for you to override: the path of your plans.toml, or a catalog; none by default."""
    return None


@pytest.fixture(scope="session")
def _flux_catalog(
    flux_catalog: str | os.PathLike[str] | Catalog | None, pytestconfig: pytest.Config
) -> Catalog | None:
    """Read the file once."""
    if flux_catalog is None or isinstance(flux_catalog, Catalog):
        return flux_catalog
    return read_plans_file(Path(pytestconfig.rootpath, flux_catalog))


@pytest.fixture(autouse=True)
def flux_testing(_flux_catalog: Catalog | None) -> Iterator[InMemoryFlux]:
    """The test's own in-memory client, in the place of the default one, whether or not the test asks for it."""
    with in_memory(_flux_catalog) as client:
        yield client
