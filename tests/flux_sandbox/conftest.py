"""Fixtures: a sandbox on a socket, a receiver of webhooks, and something to sell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flux_sandbox.running import Receiver, RunningSandbox, running_sandbox
from tests.flux_sandbox.shop import Shop


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    """A sandbox with an empty account."""
    with running_sandbox(retry_delays=(0.01, 0.02)) as running:
        yield running


@pytest.fixture
def shop(sandbox: RunningSandbox) -> Shop:
    """A customer, and prices to subscribe to."""
    return Shop(sandbox.stripe)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An application's webhook endpoint."""
    with Receiver().running() as running:
        yield running
