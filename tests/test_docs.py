"""What the documentation says is there is there, and its commands run as printed."""

from __future__ import annotations

import ast
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

import flux
import flux_server
from examples.demo.processes import Process, free_port
from flux_middleware.answers import Status
from flux_middleware.decisions import DecisionReason
from flux_server.api.monitoring import Monitoring
from flux_server.api.problems import OTHER_PROBLEMS
from flux_server.errors import RequestError
from flux_server.settings import Settings
from flux_server.stripe.figures import Figures

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVER = (ROOT / "docs" / "server.md").read_text()
API = (ROOT / "docs" / "api.md").read_text()
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(heading: str, text: str = SERVER) -> list[list[str]]:
    """Return the rows of the tables below the first row `heading`, cell by cell."""
    found = re.findall(rf"^{re.escape(heading)}\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, heading
    return [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for part in found
        for line in part.splitlines()
    ]


def anchors(page: Path) -> set[str]:
    """Return what can follow a `#` in a link to the page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@EVERY_PAGE
def test_python_compiles(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        assert ast.parse(block).body


def test_every_setting_is_described_with_its_default() -> None:
    shown = {
        row[0].strip("`"): (row[1].strip("`"), row[2]) for row in table("| variable | default | meaning |")
    }

    settings = {f"FLUX_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert shown.keys() == settings.keys()
    for name, (default, meaning) in shown.items():
        real = settings[name].default
        plain = real.get_secret_value() if name == "FLUX_SECRET_KEY" else "" if real is None else str(real)
        assert default == (plain or "empty"), name
        assert meaning.endswith("."), name


def refusals() -> Iterator[tuple[str, int]]:
    """Iterate over the code and the status of every problem that the server can answer with."""
    for module in pkgutil.walk_packages(flux_server.__path__, "flux_server."):
        if ".versions." not in module.name and not module.name.endswith((".env", ".__main__")):
            import_module(module.name)
    kinds = [RequestError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        yield kind.code, kind.status
    for status, (code, _, _) in OTHER_PROBLEMS.items():
        yield code, status


def test_every_problem_is_described_with_its_status() -> None:
    rows = table("| code | status | when, and what to do |", API + SERVER)

    assert {(row[0].strip("`"), int(row[1])) for row in rows} == set(refusals())
    assert len({row[0] for row in rows}) == len(rows)
    assert all(row[2].endswith(".") for row in rows)


def test_every_metric_is_described() -> None:
    monitoring = Monitoring()
    monitoring.requests.labels("GET", "", 200).inc()
    monitoring.slots.labels("test").inc()
    monitoring.streams.labels("test").set(1)
    monitoring.note_drift("test", 1)
    for outcome in ("received", "duplicate", "refused"):
        monitoring.count_webhook("test", outcome)
    text = monitoring.render({("test", "changes"): 1}, {"test": Figures(False, 0, 0, 0, 0)}).decode()

    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    assert {row[0].strip("`") for row in table("| metric | meaning |")} == {
        name for name in names if not name.endswith("_created")
    }


def test_lines_of_the_log_are_quoted_as_they_are() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "flux_server").rglob("*.py"))

    for line, meaning in table("| line | what it means |"):
        for quoted in (line, *re.findall(r"`[A-Za-z ]+ again`", meaning)):
            assert f'"{quoted.strip("`")}' in sources, quoted


class Shell:
    """Runs the page's commands, in the order of the page, as one session of bash in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.sandbox_port = free_port(), free_port()
        for name, program in (("curl", CURL), ("sqlite3", SQLITE)):
            if shutil.which(name) is None:
                (directory / name).write_text(f"#!{sys.executable}\n{program}")
                (directory / name).chmod(0o755)
        commands = f"{Path(sys.executable).parent}:{directory}:{os.environ['PATH']}"
        self.env = {"PATH": commands, "FLUX_PORT": str(self.port)}
        self.env["FLUX_STRIPE_API_BASE"] = f"http://127.0.0.1:{self.sandbox_port}"

    @contextmanager
    def process(self, command: list[str], ready: str) -> Iterator[None]:
        process = Process(command[0], command, log=self.directory / f"{command[0]}.log", env=self.env)
        try:
            process.wait_for_line(ready)
            yield
        finally:
            process.stop()

    def here(self, script: str) -> str:
        """Return the commands with the ports that are free here."""
        script = script.replace("127.0.0.1:8400", f"127.0.0.1:{self.port}")
        return script.replace("127.0.0.1:8420", f"127.0.0.1:{self.sandbox_port}")

    def run(self, script: str) -> str:
        """Run the commands; every one must succeed."""
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(script)],
            env={**os.environ, **self.env},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout


# Stand-ins, as far as the page needs them, for machines without these programs.
CURL = """
import argparse, sys, httpx
parser = argparse.ArgumentParser()
parser.add_argument("url")
for flag in ("-i", "-s", "-S", "--fail-with-body"):
    parser.add_argument(flag, action="store_true")
parser.add_argument("-X", default="")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-d")
given = parser.parse_args()
headers = dict(line.split(": ", 1) for line in given.H)
answer = httpx.request(given.X or ("POST" if given.d else "GET"), given.url, headers=headers, content=given.d)
if given.i:
    print(f"HTTP/1.1 {answer.status_code}")
    print(*(f"{name}: {value}" for name, value in answer.headers.items()), "", sep="\\n")
print(answer.text, end="")
sys.exit(22 if answer.is_error else 0)
"""
SQLITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2])"


def test_the_servers_commands_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    serve, *session, restored = blocks(SERVER, "console")
    shell = Shell(tmp_path)
    sandbox = ["flux-sandbox", "--port", str(shell.sandbox_port)]

    with shell.process(sandbox, "listening"), shell.process(serve.split(), "Flux is at"):
        link = 'curl -sS "$FLUX_URL/v1/stripe/link" -H "Authorization: Bearer $ADMIN"'
        acme = 'curl -sS "$FLUX_URL/v1/organizations/acme" -H "Authorization: Bearer $ADMIN"'
        printed = shell.run("\n".join([*session, "echo", link, "echo", acme]))

    *_, linked, organization = map(json.loads, printed.splitlines()[-2:])
    assert (linked["status"], linked["has_webhook_secret"]) == ("active", True)
    (calls,) = [found for found in organization["entitlements"] if found["feature"] == "calls"]
    assert calls["value"] == 50_000
    assert (tmp_path / "flux-backup.sqlite3").stat().st_size > 0
    assert "start afresh" in shell.run(restored)


def test_a_month_passes_as_the_page_of_the_sandbox_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    serve, *session = blocks((ROOT / "docs" / "sandbox.md").read_text(), "console")
    shell = Shell(tmp_path)
    sandbox = ["flux-sandbox", "--port", str(shell.sandbox_port)]
    server = ["bash", "-euc", shell.here(serve.replace("flux serve", "exec flux serve"))]

    with shell.process(sandbox, "listening"), shell.process(server, "Flux is at"):
        printed = shell.run("\n".join([*session, "echo"]))
        log = (tmp_path / "bash.log").read_text()

    linked, turned = map(json.loads, printed.replace("}{", "}\n{").splitlines())
    assert linked["status"] == "active"
    assert turned["now"] > time.time() + 30 * 86_400
    assert "not followed" not in log


CLIENT = (ROOT / "docs" / "client.md").read_text()


def named(cell: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", cell))


def test_every_setting_of_the_client_is_described() -> None:
    rows = table("| argument of `flux.init` | variable | otherwise |", CLIENT)

    assert set(inspect.signature(flux.init).parameters) <= set().union(*(named(row[0]) for row in rows))


def test_every_reason_of_a_check_is_described() -> None:
    rows = table("| `reason` | `allowed` | why |", CLIENT)

    assert {row[0].strip("`") for row in rows} == set(DecisionReason) - {DecisionReason.NO_ORGANIZATION}


def test_every_field_of_the_status_is_described() -> None:
    rows = table("| field | what it is |", CLIENT)

    assert set().union(*(named(row[0]) for row in rows)) == {field.name for field in fields(Status)}
