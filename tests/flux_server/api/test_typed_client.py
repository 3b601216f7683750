"""A typed client can be generated from the API's description, and talks to the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.flux_server.running import RunningServer

PROGRAM = Path(__file__).parent / "typed_client.py"


def run(directory: Path, *arguments: str) -> str:
    """Run a Python module in the directory; it must succeed."""
    ran = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


# The generator's own few errors are not ours.
MYPY = "[mypy]\nstrict = True\n[mypy-client.client]\nignore_errors = True\n"


@pytest.fixture(scope="module")
def generated(shared_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a client that was generated from what the server says of itself, and a program."""
    directory = tmp_path_factory.mktemp("generated")
    document = httpx.get(f"{shared_server.url}/v1/openapi.json", timeout=30).json()
    (directory / "openapi.json").write_text(json.dumps(document))
    where = ("--path", "openapi.json", "--meta", "none", "--output-path", "client")
    run(directory, "openapi_python_client", "generate", *where)
    shutil.copy(PROGRAM, directory)
    (directory / "mypy.ini").write_text(MYPY)
    return directory


def test_a_program_with_the_generated_client_runs(shared_server: RunningServer, generated: Path) -> None:
    printed = run(generated, "typed_client", shared_server.url, shared_server.make_key("admin"))

    assert printed.split() == ["sso", "422", "invalid_request"]


def test_a_program_with_the_generated_client_is_checked_by_its_types(generated: Path) -> None:
    run(generated, "mypy", "typed_client.py")

    program = PROGRAM.read_text().replace("made.key,", "made.kye,")
    (generated / "typed_client.py").write_text(program)
    with pytest.raises(AssertionError, match='"FeatureAnswer" has no attribute "kye"'):
        run(generated, "mypy", "typed_client.py")
