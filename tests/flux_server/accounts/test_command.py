from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from examples.demo.processes import Process, free_port
from tests.flux_server.accounts.conftest import PASSWORD
from tests.flux_server.dashboard.browsing import Person

FLUX = (sys.executable, "-m", "flux_server")


@contextmanager
def flux(directory: Path, *arguments: str, **env: str) -> Iterator[Process]:
    """Run `flux` for the length of the block."""
    env = {"FLUX_DATA_DIR": str(directory / "data")} | env
    process = Process(arguments[0], [*FLUX, *arguments], log=directory / "log", env=env)
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def serve(directory: Path, **env: str) -> Iterator[Process]:
    with flux(directory, "serve", "--port", str(free_port()), **env) as process:
        process.wait_for_line("API keys: flux keys create")
        yield process


def link_of(process: Process) -> str:
    return process.wait_for_line(r"First admin: (\S+/setup/\S+) \(works once, until [\d :-]+ UTC\)").group(1)


def open_link(link: str, **typed: str) -> int:
    origin, _, token = link.partition("/setup/")
    with httpx.Client(base_url=origin, follow_redirects=True, timeout=20) as client:
        person = Person(client)
        page = person.open(f"/setup/{token}")
        return person.send(page, f"/setup/{token}", **typed).status if page.status == 200 else page.status


@pytest.mark.timeout(180)
def test_the_link_of_the_last_start_works_until_there_is_a_user(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        old = link_of(server)
    with serve(tmp_path) as server:
        new = link_of(server)
        token = old.partition("/setup/")[2]
        assert open_link(new.partition("/setup/")[0] + f"/setup/{token}") == 404
        assert open_link(new, email="ada@example.com", password=PASSWORD) == 200
    with serve(tmp_path) as server:
        assert "First admin" not in server.output()


def test_the_link_leads_to_the_public_address(tmp_path: Path) -> None:
    with serve(tmp_path, FLUX_PUBLIC_URL="https://flux.example/") as server:
        assert link_of(server).startswith("https://flux.example/setup/")


def test_an_invitation_is_made_beside_the_running_server(tmp_path: Path) -> None:
    with serve(tmp_path) as server, flux(tmp_path, "users", "invite", "Bob@example.com") as command:
        made = command.wait_for_line(r"^\S+(/setup/\S+) \(works once").group(1)
        origin = link_of(server).partition("/setup/")[0]

        assert open_link(origin + made, password=PASSWORD) == 200


def test_an_invitation_for_nobody_is_refused(tmp_path: Path) -> None:
    with flux(tmp_path, "users", "invite", "bob") as command:
        command.wait_for_line("flux: give an email address, like ada@example.com")

        assert not re.search("/setup/", command.output())
