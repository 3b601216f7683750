"""What docs/sandbox.md says works, as it says it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flux_sandbox.app import ROUTES
from tests.flux_sandbox.running import RunningSandbox

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
FIRST, SECOND = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_first_example_sells_a_subscription(sandbox: RunningSandbox) -> None:
    exec(FIRST.replace("http://127.0.0.1:8420", sandbox.url), {})

    (subscription,) = sandbox.stripe.v1.subscriptions.list().data
    assert len(subscription.items.data) == 2
    assert sandbox.violations() == []


def test_the_second_example_makes_an_application() -> None:
    names: dict[str, Any] = {}

    exec(SECOND, names)

    assert names["app"].state.sandbox.account.clock.now() == 1_800_000_000


def test_every_resource_is_named() -> None:
    resources = {route.path.removeprefix("/v1/").partition("/{")[0] for route in ROUTES}

    assert {name for name in resources if f"`{name}`" not in PAGE} == set()
