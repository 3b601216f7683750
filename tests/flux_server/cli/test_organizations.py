"""`flux why` and `flux organizations` as processes, against a running server."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_server.settings import Settings
from tests.flux_server.api.routes import furnish
from tests.flux_server.postgres import PostgresServer
from tests.flux_server.running import NOON, RunningServer, run_server

FILE = 'id,name,override.seats\r\nacme,Acme,50 (pilot)\r\nb,"two\r\nlines",\r\nc,,many\r\nacme,,\r\nd,,-1\r\n'


class Shell:
    """Runs the `flux` command against one server."""

    def __init__(self, server: RunningServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.env = {**os.environ, "FLUX_URL": server.url, "FLUX_API_KEY": server.make_key("admin")}

    def run(
        self, *arguments: str, given: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [sys.executable, "-m", "flux_server", *arguments],
            env=self.env | (env or {}),
            input=given,
            capture_output=True,
            timeout=100,
            check=False,
            cwd=self.directory,
        )
        return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.fixture
def shell(server: RunningServer, tmp_path: Path) -> Shell:
    with server.client("admin") as admin:
        furnish(admin)
        admin.put("/v1/features/seats", json={"kind": "limit"}).raise_for_status()
        admin.put("/v1/features/audit", json={"kind": "boolean"}).raise_for_status()
    return Shell(server, tmp_path)


def test_why_says_the_verdict_and_the_chain(shell: Shell) -> None:
    ran = shell.run("why", "acme", "sso")

    assert ran.returncode == 0, ran.stderr
    first, second, *chain = ran.stdout.splitlines()
    assert (first, second) == ("acme is entitled to sso", "as of 2025-10-09 12:00:00 UTC")
    assert chain[0] == "  - default plan, pro@1: not counted, for an override takes its place"
    assert chain[1].startswith("  + override ")
    assert "\x1b" not in ran.stdout


def test_why_answers_as_of_a_past_moment_and_with_its_exit_code(shell: Shell) -> None:
    shell.server.clock.now = NOON + 9
    with shell.server.client("admin") as admin:
        deny = {"feature": "sso", "effect": "deny", "reason": "unpaid"}
        admin.post("/v1/organizations/acme/overrides", json=deny).raise_for_status()

    now = shell.run("why", "acme", "sso", "--json")
    then = shell.run("why", "acme", "sso", "--at", "2025-10-09T12:00:08Z", "--json")

    assert (now.returncode, json.loads(now.stdout)["entitled"]) == (3, False)
    assert (then.returncode, json.loads(then.stdout)["as_of"]) == (0, NOON + 8)


@pytest.mark.parametrize(
    ("arguments", "env", "complaint"),
    [
        pytest.param(["nobody", "sso"], {}, "there is no organization 'nobody'", id="organization"),
        pytest.param(["acme", "magic"], {}, "there is no feature 'magic'", id="feature"),
        pytest.param(["acme", "sso", "--at", "soon"], {}, "give seconds since 1970", id="moment"),
        pytest.param(["acme", "sso"], {"FLUX_API_KEY": ""}, "set FLUX_API_KEY", id="no-key"),
        pytest.param(["acme", "sso"], {"FLUX_API_KEY": "flux_x"}, "unknown or revoked", id="unknown-key"),
        pytest.param(
            ["acme", "sso"], {"FLUX_URL": "http://127.0.0.1:1"}, "cannot be reached", id="nobody-listens"
        ),
        pytest.param(["acme", "sso"], {"FLUX_URL": "nowhere"}, "FLUX_URL", id="no-address"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(
    shell: Shell, arguments: list[str], env: dict[str, str], complaint: str
) -> None:
    ran = shell.run("why", *arguments, env=env)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert complaint in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_file_is_imported_and_what_is_refused_is_named_by_its_row(shell: Shell) -> None:
    (shell.directory / "file.csv").write_bytes(FILE.encode())

    ran = shell.run("organizations", "import", "file.csv", "--errors", "refused.csv")

    assert ran.returncode == 1
    assert ran.stdout == "1 created, 1 changed, 0 unchanged, 3 refused\n"
    with (shell.directory / "refused.csv").open(newline="") as file:
        refused = [(row["row"], row["field"]) for row in csv.DictReader(file)]
    assert refused == [("4", "override.seats"), ("5", "id"), ("6", "override.seats")]


def test_a_dry_run_from_standard_input_changes_nothing(shell: Shell) -> None:
    ran = shell.run("organizations", "import", "-", "--format", "csv", "--dry-run", given=FILE.encode())

    assert ran.stdout == "1 would be created, 1 would be changed, 0 unchanged, 3 refused\n"
    assert "row 5, id: row 2 has the same id" in ran.stderr
    assert shell.run("organizations", "list").stdout == "acme\t\n"


def test_what_is_exported_is_imported_unchanged(shell: Shell) -> None:
    assert shell.run("organizations", "export", "all.ndjson").returncode == 0
    exported = shell.run("organizations", "export", "--format", "csv").stdout

    again = shell.run("organizations", "import", "all.ndjson")

    assert (again.returncode, again.stdout) == (0, "0 created, 0 changed, 1 unchanged, 0 refused\n")
    assert exported.splitlines()[1] == "acme,,cus_1,true"
    assert sorted(path.name for path in shell.directory.glob("all*")) == ["all.ndjson"]


def test_an_organization_is_shown_and_none_steers_the_terminal(shell: Shell) -> None:
    with shell.server.client("admin") as admin:
        admin.put("/v1/organizations/acme", json={"name": "\x1b[2J[red]Acme"}).raise_for_status()

    shown = shell.run("organizations", "show", "acme").stdout
    listed = shell.run("organizations", "list", "acme").stdout

    assert shown.splitlines()[0] == r"acme \x1b[2J[red]Acme"
    assert "sso: true" in shown
    assert listed == "acme\t\\x1b[2J[red]Acme\n"


@pytest.fixture
def postgres_shell(postgres: PostgresServer, postgres_template: str, tmp_path: Path) -> Iterator[Shell]:
    name = postgres.make_database(postgres_template)
    with run_server(
        Settings(data_dir=tmp_path / "data", public_url="", database_url=postgres.url(name))
    ) as running:
        yield Shell(running, tmp_path)
    postgres.drop_database(name)


def test_thousands_of_rows_are_sent_in_chunks_and_can_be_sent_again(postgres_shell: Shell) -> None:
    lines = [f"org-{number},Name {number}" for number in range(2_500)]
    (postgres_shell.directory / "many.csv").write_text("\n".join(["id,name", *lines, "org-7,twice"]))

    first = postgres_shell.run("organizations", "import", "many.csv")
    again = postgres_shell.run("organizations", "import", "many.csv")

    assert first.stdout == "2,500 created, 0 changed, 0 unchanged, 1 refused\n"
    assert again.stdout == "0 created, 0 changed, 2,500 unchanged, 1 refused\n"
    assert first.stderr == "row 2502, id: row 9 has the same id; leave one of them out\n"


def test_a_file_that_cannot_be_read_on_says_from_where(shell: Shell) -> None:
    (shell.directory / "file.csv").write_bytes(b'id\nb\nc\n"open')

    ran = shell.run("organizations", "import", "file.csv")

    assert (ran.returncode, ran.stdout) == (1, "0 created, 0 changed, 0 unchanged, 0 refused\n")
    assert "row 4 cannot be read as CSV" in ran.stderr
