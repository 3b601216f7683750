from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

COMMAND = [sys.executable, "-m", "flux_sandbox"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_listens_and_stops_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            listening = re.fullmatch(r"flux-sandbox listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert listening is not None
            assert httpx.get(listening.group(1), timeout=30).status_code == 200
        finally:
            process.send_signal(number)

        assert process.wait(10) == 0


def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )

    assert answer.returncode != 0
    assert "address already in use" in answer.stderr


def test_without_its_dependencies_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text(
        "raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from flux_sandbox.__main__ import main; main()"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    assert answer.returncode == 1
    assert "pip install 'flux-middleware[sandbox]'" in answer.stderr


def test_the_sandbox_loads_neither_flux_nor_stripe() -> None:
    program = (
        "import sys, flux_sandbox.cli; "
        "print([name for name in sys.modules if name.partition('.')[0] in "
        "('stripe', 'flux', 'flux_middleware', 'flux_server')])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert answer.stdout == "[]\n"
