"""What docs/sandbox.md says works, as it says it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from flux_sandbox.app import ROUTES
from flux_sandbox.testing import StripeSandbox
from tests.flux_sandbox.running import RunningSandbox

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
FIRST, CONFTEST, TESTS, LAST = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_first_example_sells_a_subscription(sandbox: RunningSandbox) -> None:
    exec(FIRST.replace("http://127.0.0.1:8420", sandbox.url), {})

    (subscription,) = sandbox.stripe.v1.subscriptions.list().data
    assert len(subscription.items.data) == 2
    assert sandbox.violations() == []


def test_the_examples_of_tests_pass(tmp_path: Path) -> None:
    for name, content in (("conftest.py", CONFTEST), ("test_billing.py", TESTS), ("pytest.ini", "[pytest]")):
        (tmp_path / name).write_text(content)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


def test_the_last_example_makes_an_application() -> None:
    names: dict[str, Any] = {}

    exec(LAST, names)

    assert names["app"].state.sandbox.account.clock.now() == 1_800_000_000


def test_every_resource_is_named() -> None:
    resources = {route.path.removeprefix("/v1/").partition("/{")[0] for route in ROUTES}

    assert {name for name in resources if f"`{name}`" not in PAGE} == set()


def test_everything_of_the_tests_own_sandbox_is_named() -> None:
    names = {name for name in vars(StripeSandbox) if not name.startswith("_")} - {"start", "stop"}

    assert {name for name in names if not re.search(rf"`{name}\b", PAGE)} == set()
