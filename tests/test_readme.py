"""What the README says works, as it says it: its commands are run, its code is served and asked."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from examples.demo.processes import Process, free_port, wait_for

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, text in BLOCKS if language == "console" for line in text.splitlines()]
APPLICATION, CALLS = (text for language, text in BLOCKS if language == "python")

RUN_BY_SCRIPTS = {  # what these tests do not run, and what does
    "pip install 'flux-middleware[asgi]'": "scripts/check-wheel",
    "pip install 'flux-middleware[server]'": "scripts/check-wheel",
    "scripts/demo": ".ci/run",
}


class Quickstart:
    """The README's server and key, in a directory of their own; commands run as printed there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{free_port()}"
        self.env = {"FLUX_DATA_DIR": str(directory / "data"), "FLUX_PORT": self.url.rpartition(":")[2]}
        self.ran: list[str] = []

    def command(self, start: str) -> list[str]:
        (command,) = (command for command in COMMANDS if command.startswith(start))
        self.ran.append(command)
        program, *arguments = shlex.split(command)
        return [str(Path(sys.executable).with_name(program)), *arguments]

    @contextmanager
    def process(self, command: list[str], **env: str) -> Iterator[Process]:
        log = self.directory / f"{Path(command[0]).name}.log"
        process = Process(command[0], command, log=log, env=self.env | env)
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quickstart]:
    quickstart = Quickstart(tmp_path_factory.mktemp("quickstart"))
    with quickstart.process(quickstart.command("flux serve")) as server:
        server.wait_for_line(r"/setup/\S+")
        made = subprocess.run(
            quickstart.command("flux keys create"),
            env={**os.environ, **quickstart.env},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        (key,) = re.findall(r"flux_test_\S+", made.stdout)
        quickstart.env |= {
            "FLUX_API_KEY": key,
            "FLUX_URL": quickstart.url,
            "FLUX_DIRECTORY": str(quickstart.directory / "client"),
        }
        yield quickstart


def test_every_command_is_run(quickstart: Quickstart) -> None:
    assert set(COMMANDS) == set(quickstart.ran) | RUN_BY_SCRIPTS.keys()
    for command, script in RUN_BY_SCRIPTS.items():
        text = (Path(__file__).parent.parent / script).read_text()
        assert command in text or "README.md" in text


def test_the_application_gates_and_meters(quickstart: Quickstart) -> None:
    (quickstart.directory / "readme_app.py").write_text(APPLICATION)
    port = str(free_port())
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(quickstart.directory),
        "--port",
        port,
        "readme_app:app",
    ]
    with quickstart.process(command) as application:
        application.wait_for_line("startup complete")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as browser:
            wait_for("the catalog has arrived", lambda: browser.get("/sso").status_code == 403)
            used = [browser.get("/search").json()["used"] for _ in range(3)]

    assert used == [0, 1, 2]


def test_the_calls_answer(quickstart: Quickstart) -> None:
    script = "import flux\nflux.init()\nassert flux.wait_until_ready(20)\n" + CALLS
    script += "print('usage:', flux.billing.get_usage('acme', 'api-calls').quantity)\n"

    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **quickstart.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "sso" in ran.stdout
    assert re.search(r"usage: \d+", ran.stdout)


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / target).exists(), target
