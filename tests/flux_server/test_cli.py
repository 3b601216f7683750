"""The `flux` command as an operator meets it: as a process, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from flux_server.cli import app
from tests.flux_server.api.following import follow

FLUX = [sys.executable, "-m", "flux_server"]


def environment(directory: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a process that knows of no settings but these."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FLUX_")}
    return plain | {"FLUX_DATA_DIR": str(directory)} | settings


def run(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*FLUX, *arguments],
        env=environment(directory, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def create_key(directory: Path, *options: str) -> str:
    """Make a key beside whatever runs; return it, which is all that is printed."""
    made = run(directory, "keys", "create", "--name", "a test's", *options)
    assert (made.returncode, made.stderr) == (0, "")
    return made.stdout.removesuffix("\n")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`flux serve` in a fresh directory, and the address that it prints."""
    command = [*FLUX, "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"Flux is at (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
            assert found is not None
            yield process, found[1]
        finally:
            process.kill()


def test_a_key_made_beside_the_server_works_and_the_server_stops_as_it_is_told(
    serving: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = serving
    key = create_key(tmp_path, "--environment", "live")
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20) as client:
        with follow(client) as events:
            assert next(events).data["environment"] == "live"
            process.send_signal(signal.SIGTERM)
            told = time.monotonic()

            assert list(events) == []
        assert process.wait(10) == 0
    assert time.monotonic() - told < 5
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_commands_that_start_at_once_in_a_fresh_directory_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        keys = list(threads.map(lambda _: create_key(tmp_path / "data"), range(2)))

    assert len({*keys}) == 2
    assert {key.rpartition("_test_")[0] for key in keys} == {"flux"}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in this process, which is quick; for those that end before they change anything of it."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("FLUX_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("flux_server.cli.local.configure_logs", lambda settings: None)
    return CliRunner()


def words(result: Result) -> str:
    """Return what a refused command says."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("flux: ")
    assert "Traceback" not in result.stderr
    return result.stderr


def test_the_version_is_the_distributions(runner: CliRunner) -> None:
    assert runner.invoke(app, ["--version"]).stdout == version("flux-middleware") + "\n"


def test_without_a_command_the_commands_are_listed(runner: CliRunner) -> None:
    listed = runner.invoke(app, []).output

    assert all(name in listed for name in ("serve", "keys", "users", "codegen", "doctor"))


def test_the_commands_for_applications_hosts_run_with_their_own_options(runner: CliRunner) -> None:
    doctor = runner.invoke(app, ["doctor", "--json"])
    codegen = runner.invoke(app, ["codegen", "nowhere.toml", "--check"])

    assert (doctor.exit_code, codegen.exit_code) == (1, 1)
    assert json.loads(doctor.stdout)["findings"][1]["name"] == "key"
    assert "nowhere.toml cannot be read" in codegen.stderr


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("FLUX_PORT", "http", "FLUX_PORT: Input should be a valid integer"),
        (
            "FLUX_PUBLIC_URL",
            "flux.example.com",
            "FLUX_PUBLIC_URL: give an address like https://flux.example.com",
        ),
        (
            "FLUX_DATABASE_URL",
            "postgres://flux:hunter2@db/flux",
            "let it begin with sqlite+aiosqlite or postgresql",
        ),
        (
            "FLUX_DATABASE_URL",
            "sqlite+aiosqlite:////no/such/directory/x",
            "check that it runs, and FLUX_DATABASE_URL",
        ),
        ("FLUX_SECRET_KEY", "hunter2", "give FLUX_SECRET_KEY 32 or more random ones"),
        ("FLUX_HEARTBEAT", "0", "FLUX_HEARTBEAT: Input should be greater than or equal to 0.2"),
        ("FLUX_LOG_LEVEL", "loud", "FLUX_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("FLUX_HOST", "192.0.2.1", "cannot listen on 192.0.2.1"),
        ("FLUX_DATA_DIR", __file__, "name another with --data-dir or FLUX_DATA_DIR"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_explained(
    runner: CliRunner, variable: str, value: str, advice: str
) -> None:
    said = words(
        runner.invoke(
            app, ["serve", "--port", "0"] if variable != "FLUX_PORT" else ["serve"], env={variable: value}
        )
    )

    assert advice in said
    assert "hunter2" not in said


def test_several_wrong_settings_are_named_at_once(runner: CliRunner) -> None:
    said = words(runner.invoke(app, ["serve"], env={"FLUX_PORT": "x", "FLUX_LOG_FORMAT": "y"}))

    assert "FLUX_PORT" in said
    assert "FLUX_LOG_FORMAT" in said


def test_a_port_that_is_taken_is_explained(runner: CliRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        said = words(runner.invoke(app, ["serve", "--port", port]))

    assert f"cannot listen on 127.0.0.1 port {port} (Address already in use)" in said


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--name", "n", "--scope", "root"], "a key's scope is one of sdk, read, admin, not 'root'"),
        (
            ["--name", "n", "--environment", "staging"],
            "there is no environment 'staging'; there are live, test",
        ),
        (["--name", ""], "name it after who will use it"),
        (["--name", "n" * 256], "1 to 255 characters"),
    ],
)
def test_a_key_that_cannot_be_made_is_explained(runner: CliRunner, options: list[str], advice: str) -> None:
    assert advice in words(runner.invoke(app, ["keys", "create", *options]))


def test_a_key_needs_a_name(runner: CliRunner) -> None:
    result = runner.invoke(app, ["keys", "create"])

    assert result.exit_code == 2
    assert "--name" in result.stderr


def test_a_database_of_a_newer_version_is_left_alone(runner: CliRunner, tmp_path: Path) -> None:
    runner.invoke(app, ["keys", "create", "--name", "n"])
    with closing(sqlite3.connect(tmp_path / "flux-data" / "flux.sqlite3")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")

    said = words(runner.invoke(app, ["keys", "create", "--name", "n"]))

    assert "written by a newer version of Flux (schema 9999); upgrade flux-middleware" in said


def instances(directory: Path) -> dict[str, str]:
    with closing(sqlite3.connect(directory / "flux-data" / "flux.sqlite3")) as database:
        return dict(database.execute("SELECT key, instance FROM environments").fetchall())


def test_after_a_restored_backup_every_environment_is_another_one(runner: CliRunner, tmp_path: Path) -> None:
    runner.invoke(app, ["keys", "create", "--name", "n"])
    before = instances(tmp_path)

    result = runner.invoke(app, ["restored"])

    after = instances(tmp_path)
    assert (result.exit_code, "start afresh" in result.stdout) == (0, True)
    assert before.keys() == after.keys() == {"live", "test"}
    assert {*before.values()}.isdisjoint(after.values())


def test_a_command_whose_packages_are_missing_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "tomlkit.py").write_text(
        "raise ModuleNotFoundError('No module named tomlkit', name='tomlkit')"
    )
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['flux', 'plans', 'pull']; "
        "from flux_server.__main__ import main; main()"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert answer.returncode == 1
    assert "pip install 'flux-middleware[server]'" in answer.stderr


def test_comparing_a_file_loads_no_server() -> None:
    program = (
        "import sys, flux_server.cli.plans; "
        "print([name for name in ('sqlalchemy', 'fastapi', 'stripe', 'pydantic') if name in sys.modules])"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert answer.stdout == "[]\n"
