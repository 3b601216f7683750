"""The fixture `stripe_sandbox`, for who asks for it: `pytest_plugins = ["flux_sandbox.pytest_plugin"]`.

It is no entry point, which pytest would load in every run of everyone who has Flux installed, with the sandbox's
server and all that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flux_sandbox.testing import StripeSandbox

__all__ = ["stripe_sandbox", "stripe_sandbox_options"]


@pytest.fixture(scope="session")
def stripe_sandbox_options() -> dict[str, Any]:
    """The arguments of `StripeSandbox`; override it to give some."""
    return {}


@pytest.fixture(scope="session")
def _stripe_sandbox(stripe_sandbox_options: dict[str, Any]) -> Iterator[StripeSandbox]:
    with StripeSandbox(**stripe_sandbox_options) as sandbox:
        yield sandbox


@pytest.fixture
def stripe_sandbox(_stripe_sandbox: StripeSandbox) -> StripeSandbox:
    """A Stripe with an empty account, for each test anew; the server is one for all."""
    _stripe_sandbox.reset()
    return _stripe_sandbox
