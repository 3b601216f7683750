"""`flux doctor` on hosts that are well, and on hosts where one thing is wrong."""

from __future__ import annotations

import email.utils
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import lmdb
import pytest

from flux_middleware.client import Flux
from flux_middleware.doctor import Finding, Level, directory, examine, main, server
from flux_middleware.doctor.directory import check_directory, check_disk
from flux_middleware.doctor.look import Look, in_its_own_process, look
from flux_middleware.doctor.server import Greeting, check_clock
from flux_middleware.snapshot import Hello, encode
from tests.flux_middleware.clients import KEY, client
from tests.flux_middleware.hosts import wait_until
from tests.flux_middleware.servers import Connection, response, run_raw_server
from tests.flux_middleware.shop import Shop, WallClock
from tests.test_docs import ROOT, table

PAGE = (ROOT / "docs" / "middleware.md").read_text()
NOWHERE = "http://127.0.0.1:1"
HELLO = encode(Hello("1.0", "test", "first", 7))


class Host(NamedTuple):
    """A host of the shop's, with a client that follows it."""

    shop: Shop
    client: Flux
    environ: dict[str, str]

    @property
    def store(self) -> Path:
        return self.client.configuration.directory / "store-1"

    def findings(self) -> dict[str, Finding]:
        return examined(self.environ)


def examined(environ: dict[str, str]) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(environ)}


@pytest.fixture
def host(wall_shop: Shop, tmp_path: Path) -> Iterator[Host]:
    environ = {
        "FLUX_API_KEY": wall_shop.key,
        "FLUX_URL": wall_shop.url,
        "FLUX_DIRECTORY": str(tmp_path / "host"),
    }
    with client(tmp_path / "host", wall_shop.url, wall_shop.key, WallClock()) as running:
        assert running.wait_until_ready()
        yield Host(wall_shop, running, environ)


def stop(host: Host) -> None:
    """Leave the host without a process of the application."""
    host.client.shutdown(5)
    wait_until(lambda: not host.client.status().refresher, "the refresher is gone")


def described() -> list[str]:
    return [row[0].strip("`") for row in table("| line | what it looks at |", PAGE)]


def test_nothing_is_wrong_on_a_host_that_follows_its_server(host: Host) -> None:
    found = host.findings()

    assert [str(finding) for finding in found.values() if finding.level is not Level.OK] == []
    assert list(found) == [name for name in described() if name != "clock-url"]
    assert f"process {os.getpid()} follows" in found["refresher"].detail
    assert "1 organizations" in found["store"].detail


def test_the_command_prints_what_it_found_and_never_the_key(host: Host) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "flux_middleware.doctor"],
        env=host.environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("\n0 problems, 0 warnings\n")
    assert host.shop.key not in ran.stdout


def test_a_problem_is_told_by_the_exit_code_and_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FLUX_API_KEY", KEY)

    code = main(["--json", "--url", NOWHERE, "--directory", str(tmp_path)])

    answer = json.loads(capsys.readouterr().out)
    by_name = {finding["name"]: finding for finding in answer["findings"]}
    assert (code, answer["ok"]) == (1, False)
    assert by_name["server"]["level"] == "problem"
    assert by_name["server"]["fix"].startswith("see that the server runs there")
    assert by_name["store"]["level"] == "warning"


def test_looking_makes_nothing(tmp_path: Path) -> None:
    examined({"FLUX_API_KEY": KEY, "FLUX_URL": NOWHERE, "FLUX_DIRECTORY": str(tmp_path / "host")})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        pytest.param("", "flux keys create", id="missing"),
        pytest.param("sk_test_123", "flux keys create", id="of-something-else"),
        pytest.param(f"{KEY}\n", "white space", id="with-a-line-end"),
    ],
)
def test_a_key_that_cannot_be_one(key: str, fix: str) -> None:
    found = examined({"FLUX_API_KEY": key})

    assert found["key"].level is Level.PROBLEM
    assert fix in found["key"].fix
    assert "server" not in found


def test_an_address_that_cannot_be_one() -> None:
    found = examined({"FLUX_API_KEY": KEY, "FLUX_URL": "flux.internal"})

    assert found["url"].level is Level.PROBLEM


@pytest.mark.parametrize(("environment", "level"), [("test", Level.WARNING), ("live", Level.PROBLEM)])
def test_time_that_is_turned(environment: str, level: Level) -> None:
    environ = {
        "FLUX_API_KEY": KEY.replace("test", environment),
        "FLUX_CLOCK_URL": NOWHERE,
        "FLUX_URL": NOWHERE,
    }

    found = next(each for each in examine(environ) if each.name == "clock-url")

    assert found.level is level
    assert "unset FLUX_CLOCK_URL" in found.fix
    assert found.name in described()


def test_a_key_in_the_clear_is_warned_of(tmp_path: Path) -> None:
    environ = {"FLUX_API_KEY": KEY, "FLUX_URL": "http://flux.invalid:1", "FLUX_DIRECTORY": str(tmp_path)}

    assert next(each for each in examine(environ) if each.name == "url").level is Level.WARNING


def test_a_key_that_the_server_does_not_know(wall_shop: Shop, tmp_path: Path) -> None:
    found = examined({"FLUX_API_KEY": KEY, "FLUX_URL": wall_shop.url, "FLUX_DIRECTORY": str(tmp_path)})

    assert found["server"].level is Level.PROBLEM
    assert "flux keys create" in found["server"].fix
    assert "stream" not in found


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            response(200, b"<h1>Welcome</h1>"), "does not answer as a Flux server", id="another-site"
        ),
        pytest.param(response(500, b"{}"), "answered 500", id="broken"),
        pytest.param(
            response(200, encode(Hello("1.0", "live", "first", 7))), "of live", id="another-environment"
        ),
        pytest.param(response(200, encode(Hello("2.0", "test", "first", 7))), "upgrade", id="newer"),
    ],
)
def test_a_server_that_answers_something_else(answer: bytes, said: str, tmp_path: Path) -> None:
    with run_raw_server(answer) as raw:
        found = examined({"FLUX_API_KEY": KEY, "FLUX_URL": raw.url, "FLUX_DIRECTORY": str(tmp_path)})

    assert found["server"].level is Level.PROBLEM
    assert said in found["server"].detail


def test_a_proxy_that_holds_the_stream_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEARTBEAT", 0.1)

    def answer(connection: Connection) -> None:
        request = connection.first
        while b"/v1/stream" not in request and request:
            connection.send(response(200, HELLO, f"Date: {email.utils.formatdate(usegmt=True)}"))
            request = connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        connection.wait_for_the_end()

    with run_raw_server(answer) as raw:
        found = examined({"FLUX_API_KEY": KEY, "FLUX_URL": raw.url, "FLUX_DIRECTORY": str(tmp_path)})

    assert found["server"].level is Level.OK
    assert found["stream"].level is Level.PROBLEM
    assert "buffering" in found["stream"].fix


def said_at(
    began: float, ended: float | None = None, date: str = email.utils.formatdate(1_000_000, usegmt=True)
) -> Finding:
    """Look at a date that came between these moments of this host's clock."""
    return check_clock(Greeting(Hello("1.0", "test", "first", 7), date, began, ended or began))


@pytest.mark.parametrize(
    ("ahead", "level"),
    [(0, Level.OK), (2, Level.OK), (-30, Level.WARNING), (30, Level.WARNING), (3600, Level.PROBLEM)],
)
def test_clocks_that_differ(ahead: int, level: Level) -> None:
    assert said_at(1_000_000.5 + ahead).level is level
    assert level is Level.OK or ("ahead" in said_at(1_000_000.5 + ahead).detail) is (ahead > 0)


def test_a_slow_answer_is_no_clock_that_differs() -> None:
    assert said_at(1_000_000.0 - 20, 1_000_000.0 + 20).level is Level.OK


def test_a_server_that_does_not_tell_the_time() -> None:
    assert said_at(1_000_000, date="").level is Level.WARNING


def test_a_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)

    found, place = check_directory([tmp_path])

    assert (found.level, place) == (Level.PROBLEM, None)
    assert "FLUX_DIRECTORY" in found.fix


def test_a_file_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store-1").mkdir()
    there = tmp_path / "store-1"
    monkeypatch.setattr(directory, "_foreign", lambda place: iter([there]))

    found, place = check_directory([tmp_path])

    assert (found.level, place) == (Level.PROBLEM, tmp_path)
    assert found.fix.startswith("chown -R")


def test_a_directory_that_others_may_look_into(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    found, _ = check_directory([tmp_path])

    assert (found.level, found.fix) == (Level.WARNING, f"chmod 700 {tmp_path}")


def test_a_place_that_is_not_the_first(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path)
    places = [tmp_path / "home" / "flux", tmp_path / "link", tmp_path / "tmp" / "flux"]

    found, place = check_directory(places)

    assert (found.level, place) == (Level.WARNING, places[2])
    assert "home cannot be written to" in found.detail
    assert "is a link" in found.detail


@pytest.mark.parametrize(("free", "level"), [(1 << 20, Level.PROBLEM), (1 << 40, Level.OK)])
def test_a_disk_that_is_nearly_full(
    free: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    assert check_disk(tmp_path / "not" / "there" / "yet").level is level


def test_a_disk_without_room_for_another_snapshot(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(host.store)._replace(free=64 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    assert check_disk(host.store.parent).level is Level.WARNING


def test_a_disk_of_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_filesystem", lambda path: "nfs4")

    found = check_disk(tmp_path)

    assert found.level is Level.PROBLEM
    assert "local disk" in found.fix


def test_a_host_whose_application_does_not_run(host: Host) -> None:
    stop(host)
    host.client.billing.record_usage("acme", "calls")

    found = host.findings()

    assert {name for name, finding in found.items() if finding.level is Level.WARNING} == {
        "refresher",
        "usage",
    }
    assert "1 counters wait to be sent, and nobody sends them" in found["usage"].detail


def test_a_store_that_is_behind(host: Host) -> None:
    stop(host)
    host.shop.grant("acme", "sso")

    found = host.findings()["store"]

    assert found.level is Level.WARNING
    assert f"the server is at revision {host.shop.revision}" in found.detail


def test_a_refresher_that_does_not_hear_from_its_server(host: Host) -> None:
    host.shop.stop()
    later = time.time() + 60

    found = {each.name: each for each in examine(host.environ, clock=lambda: later)}

    assert found["server"].level is found["refresher"].level is Level.PROBLEM
    assert found["store"].level is Level.OK


def test_a_store_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store-1").mkdir()
    with lmdb.open(str(tmp_path / "store-1")) as other, other.begin(write=True) as transaction:
        transaction.put(b"somebody", b"else's")
    before = (tmp_path / "store-1" / "data.mdb").read_bytes()

    found = look(tmp_path, "test")

    assert "belongs to something else" in found.wrong
    assert (tmp_path / "store-1" / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("kept", [0, 100, 3 * 4096])
def test_a_store_that_was_cut_off_is_said_to_be_damaged(host: Host, kept: int) -> None:
    stop(host)
    copy = host.store.parent.with_name("copy")
    shutil.copytree(host.store.parent, copy)
    os.truncate(copy / "store-1" / "data.mdb", kept)

    found = in_its_own_process(copy, "test")

    assert found.synced is None
    assert found.wrong
    assert (copy / "store-1" / "data.mdb").stat().st_size == kept


def test_a_damaged_store_is_a_problem(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flux_middleware.doctor.in_its_own_process", lambda *_: Look(wrong="it is damaged"))

    found = host.findings()["store"]

    assert (found.level, found.detail) == (Level.PROBLEM, "it is damaged")
    assert "restart the application" in found.fix


def test_what_was_set_aside_is_told(host: Host) -> None:
    (host.store / "data.mdb.broken").write_bytes(b"")
    journals = host.store.with_name("journals")
    (journals / "old.journal.broken").write_bytes(b"")

    found = host.findings()

    assert found["store"].level is found["usage"].level is Level.WARNING
    assert "data.mdb.broken" in found["store"].fix


def test_a_journal_that_is_none(host: Host) -> None:
    place = host.store.with_name("copy")
    (place / "journals").mkdir(parents=True)
    (place / "journals" / "x.journal").write_bytes(bytes(4096))

    found = look(place, "test")

    assert [text.rpartition(": ")[2] for text in found.unreadable] == ["it is not a usage journal"]
    assert (place / "journals" / "x.journal").exists()
