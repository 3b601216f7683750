"""What docs/testing.md shows is run as a user would have it: files of a project, and pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from flux.testing import InMemoryFlux
from tests.test_docs import ROOT, blocks, table

PAGE = (ROOT / "docs" / "testing.md").read_text()


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    files = {
        match[1]: block for block in blocks(PAGE, "python") if (match := re.match(r"# (\w+\.py)\n", block))
    }
    for name, block in files.items():
        (tmp_path / name).write_text(block)
    (tmp_path / "plans.toml").write_text((ROOT / "examples" / "plans.toml").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nasyncio_mode = auto\n")

    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-pno:schemathesis",
            "-oasyncio_default_fixture_loop_scope=function",
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "PYTEST_"))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    shown = sum(block.count("def test_") for block in files.values())
    assert f"{shown} passed" in ran.stdout, ran.stdout + ran.stderr


def test_every_method_of_the_client_is_described() -> None:

    own = {name for name in vars(InMemoryFlux) if not name.startswith("_")}
    of_every_client = {"flush", "shutdown", "status", "wait_until_ready"}
    described = " ".join(row[0] for row in table("| of the client | what it does |", PAGE))

    assert {name for name in own - of_every_client if f"`{name}" not in described} == set()


def test_the_commands_of_the_page_run_as_printed(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_text((ROOT / "examples" / "plans.toml").read_text())
    commands = blocks(PAGE, "console")[0].splitlines()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    ran = subprocess.run(
        ["bash", "-euc", "\n".join(command for command in commands if command != "mypy .")],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        timeout=100,
        check=False,
    )

    assert ran.returncode == 0
    assert '"sso"' in (tmp_path / "typings" / "flux_middleware" / "keys.pyi").read_text()
