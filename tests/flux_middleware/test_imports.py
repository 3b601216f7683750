"""What `import flux` brings with it, and what it does by itself: nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.flux_middleware.shop import Shop
from tests.flux_middleware.test_processes import host_environ, run

FRAMEWORKS = (
    "asyncio",
    "anyio",
    "django",
    "fastapi",
    "flask",
    "pydantic",
    "sqlalchemy",
    "starlette",
    "stripe",
)


def python(program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return run(program, host_environ("http://127.0.0.1:1", "flux_test_0123456789", directory))


@pytest.mark.parametrize("name", ["flux", "flux_middleware", "flux_middleware as flux"])
def test_no_framework_is_imported(name: str, tmp_path: Path) -> None:
    ended = python(
        f"import sys\nimport {name}\nprint(sorted({set(FRAMEWORKS)} & set(sys.modules)))", tmp_path
    )

    assert (ended.stdout, ended.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", ["filelock", "httpx", "httpx_sse", "ssl"])
def test_what_only_a_client_needs_comes_with_the_first_client(name: str, tmp_path: Path) -> None:
    program = (
        "import sys, flux\n"
        f"before = {name!r} in sys.modules\n"
        "flux.init(start=False)\n"
        f"print(before, {name!r} in sys.modules)\n"
    )

    assert python(program, tmp_path).stdout == "False True\n"


def test_importing_starts_no_thread_opens_no_file_and_asks_nobody(tmp_path: Path) -> None:
    program = (
        "import os, sys, threading\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, _: opened.append(event) if event.startswith('socket.') else None)\n"
        "files = os.listdir('/proc/self/fd')\n"
        "import flux\n"
        "print(opened, threading.active_count(), os.listdir('/proc/self/fd') == files)\n"
    )

    ended = python(program, tmp_path)

    assert (ended.stdout, ended.stderr) == ("[] 1 True\n", "")
    assert not (tmp_path / "flux").exists()


def test_initializing_does_not_wait_for_the_server(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "asked = []\n"
        "sys.addaudithook(lambda event, _: asked.append(event) if event == 'socket.connect' else None)\n"
        "import flux\n"
        "flux.init(start=False)\n"
        "flux.billing.is_entitled('acme', 'sso')\n"
        "flux.billing.record_usage('acme', 'calls')\n"
        "flux.billing.get_usage('acme', 'calls')\n"
        "print(asked)\n"
    )

    assert python(program, tmp_path).stdout == "[]\n"


def test_nothing_is_imported_in_the_background(wall_shop: Shop, tmp_path: Path) -> None:
    """A fork in the middle of another thread's import leaves the child with an import that waits for ever."""
    program = (
        "import sys, flux\n"
        "flux.init(start=False)\n"
        "before = set(sys.modules)\n"
        "with flux.Flux() as client:\n"
        "    assert client.wait_until_ready()\n"
        "    client.billing.record_usage('acme', 'calls')\n"
        "    assert client.flush()\n"
        "print(sorted(set(sys.modules) - before))\n"
    )

    for url in (wall_shop.url, wall_shop.url.replace("127.0.0.1", "localhost")):
        ended = run(program, host_environ(url, wall_shop.key, tmp_path))
        assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_a_newer_python_finds_nothing_to_warn_of() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", "import flux"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
