"""In-memory clients in the place of real ones: for the length of a block, or of a decorated function."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from flux_middleware.catalog import Catalog, FeatureValue
from flux_middleware.client import Flux, standing_in
from flux_middleware.errors import ConfigurationError
from flux_middleware.keys import FeatureKey, MetricKey
from flux_middleware.policies import WhenStale
from flux_middleware.testing.block import Block
from flux_middleware.testing.client import InMemoryFlux
from flux_middleware.testing.clock import Clock

__all__ = ["current", "in_memory", "override_entitlement", "override_plan", "usage"]

_in_use: Final[list[InMemoryFlux]] = []


def in_memory(
    catalog: Catalog | str | os.PathLike[str] | None = None,
    *,
    clock: Clock | None = None,
    fallbacks: Mapping[str, FeatureValue] | None = None,
    max_stale: float | None = None,
    when_stale: WhenStale = "deny",
    replacing: Flux | None = None,
) -> Block[InMemoryFlux]:
    """Let a new in-memory client answer in place of the default client, and of the one named by `replacing`.

    `flux.billing`, `flux.init()` and whoever got something from them before, in any thread, ask it until the block is
    over. See InMemoryFlux for what else it is given.
    """

    def make() -> InMemoryFlux:
        return InMemoryFlux(
            catalog, clock=clock, fallbacks=fallbacks, max_stale=max_stale, when_stale=when_stale
        )

    return Block(lambda: _installed(make(), replacing))


def override_entitlement(
    organization: str, feature: FeatureKey, value: FeatureValue = True
) -> Block[InMemoryFlux]:
    """Grant, limit or (False) deny the feature; in a new in-memory client if there is none in use."""
    return Block(lambda: _overridden(organization, feature, value))


def override_plan(organization: str, *plans: str) -> Block[InMemoryFlux]:
    """Let the organization subscribe to just these plans, in the in-memory client that is in use."""
    return Block(lambda: current().override_plan(organization, *plans))


def usage(organization: str, metric: MetricKey) -> int:
    """Return how much of the metric was recorded for the organization in the client that is in use."""
    return current().usage(organization, metric)


def current() -> InMemoryFlux:
    """Return the in-memory client that is in use.

    Raises:
        ConfigurationError: none is.
    """
    if not _in_use:
        raise ConfigurationError(
            "no in-memory client is in use here; ask within `with flux.testing.in_memory():`, or load the "
            'pytest plugin with pytest_plugins = ["flux.testing.pytest"]'
        )
    return _in_use[-1]


@contextmanager
def _installed(client: InMemoryFlux, replacing: Flux | None) -> Iterator[InMemoryFlux]:
    with standing_in(client, *([] if replacing is None else [replacing])):
        _in_use.append(client)
        try:
            yield client
        finally:
            _in_use.remove(client)


@contextmanager
def _overridden(organization: str, feature: str, value: FeatureValue) -> Iterator[InMemoryFlux]:
    with ExitStack() as stack:
        client = _in_use[-1] if _in_use else stack.enter_context(in_memory())
        yield stack.enter_context(client.override_entitlement(organization, feature, value))
