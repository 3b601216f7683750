"""The pytest plugin, in pytest runs of their own, as a user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "plans.toml"

WITHOUT = [f"-pno:{plugin}" for plugin in ("schemathesis", "asyncio", "cacheprovider")]

APPLICATION = """
import flux

client = flux.init()  # while tests are collected, without a key or a server


def may_sso(organization):
    return flux.billing.is_entitled(organization, "sso")


def search(organization):
    client.billing.record_usage(organization, "api-calls")
"""

TESTS = """
import unittest

import flux.testing
import pytest
from shop import client, may_sso, search


@pytest.fixture
def on_pro(flux_testing):
    flux_testing.subscribe("acme", "pro")


def test_a_fixture_says_what_organizations_have(on_pro):
    assert may_sso("acme")
    assert not may_sso("globex")


def test_no_test_sees_what_another_said():
    assert not may_sso("acme")


@pytest.mark.parametrize("round", [1, 2])
def test_usage_is_there_to_assert_on(flux_testing, round):
    search("acme")
    assert flux_testing.recorded == {("acme", "api-calls"): 1}
    assert flux.testing.usage("acme", "api-calls") == 1


@flux.testing.override_entitlement("acme", "sso")
def test_decorated(flux_testing):
    assert flux.testing.current() is flux_testing
    assert may_sso("acme")


class TestShop(unittest.TestCase):
    def test_of_unittest(self):
        flux.testing.current().grant("acme", "sso")
        assert may_sso("acme")


def test_the_applications_own_catalog_is_sold(flux_testing):
    with pytest.raises(flux.ConfigurationError, match="did you mean 'sso'"):
        flux_testing.grant("acme", "ss0")
"""


def run_pytest(directory: Path, conftest: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_text(conftest)
    (directory / "shop.py").write_text(APPLICATION)
    (directory / "test_shop.py").write_text(TESTS)
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *WITHOUT, *arguments],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "PYTEST_"))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_each_test_has_a_client_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_text(EXAMPLE.read_text())
    conftest = """
import pytest

pytest_plugins = ["flux.testing.pytest"]


@pytest.fixture(scope="session")
def flux_catalog():
    return "plans.toml"
"""

    ran = run_pytest(tmp_path, conftest)

    assert "7 passed" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0


def test_a_run_without_the_plugin_loads_nothing_of_flux(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\n\ndef test_plain():\n    assert not [name for name in sys.modules if name.startswith('flux')]\n"
    )

    ran = run_pytest(tmp_path, "", "test_plain.py")

    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
