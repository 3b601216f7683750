"""A write that comes again with its Idempotency-Key is answered again and done once, whatever happens between."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.api import idempotency
from flux_server.environments.kept_answers import KEPT_SECONDS, prune_answers
from flux_server.environments.revisions import lock
from flux_server.environments.tables import kept_answers
from flux_server.organizations.tables import overrides
from flux_server.settings import Settings
from tests.flux_server.api.routes import furnish
from tests.flux_server.postgres import PostgresServer
from tests.flux_server.running import NOON, RunningServer, run_server

KEY = {"Idempotency-Key": "3f0c9a52-6b1e"}
NEW_KEY = {"name": "ci", "scope": "read"}
OVERRIDES = "/v1/organizations/acme/overrides"
DENY = {"feature": "sso", "effect": "deny"}


def count_rows(server: RunningServer, table: Table) -> int:
    async def count(connection: AsyncConnection) -> int:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())

    return server.read(count)


def test_what_comes_again_is_answered_again_and_not_done_again(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        furnish(admin)
        before = count_rows(server_on_each, overrides)

        first, again = (admin.post(OVERRIDES, json=DENY, headers=KEY) for _ in range(2))

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Content-Type"] == first.headers["Content-Type"] == "application/json"
        assert count_rows(server_on_each, overrides) == before + 1


def test_an_answer_without_a_body_is_given_again(admin: httpx.Client) -> None:
    names = furnish(admin)

    answers = [admin.delete(f"{OVERRIDES}/{names.override}", headers=KEY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]
    assert [answer.content for answer in answers] == [b"", b""]


def test_a_new_keys_secret_is_shown_again_and_kept_unreadable(
    server: RunningServer, admin: httpx.Client
) -> None:
    first, again = (admin.post("/v1/api-keys", json=NEW_KEY, headers=KEY).json() for _ in range(2))

    assert first == again
    assert len(admin.get("/v1/api-keys").json()["api_keys"]) == 2
    for file in server.settings.data_dir.iterdir():
        assert first["secret"].encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PUT", "/v1/metrics/calls", {"name": "other"}, id="body"),
        pytest.param("PUT", "/v1/metrics/other", {"name": "one"}, id="path"),
        pytest.param("PUT", "/v1/metrics/calls?a=b", {"name": "one"}, id="query"),
        pytest.param("POST", "/v1/metrics/calls/archive", None, id="method"),
    ],
)
def test_a_key_belongs_to_one_request(
    admin: httpx.Client, method: str, path: str, body: dict[str, str] | None
) -> None:
    admin.put("/v1/metrics/calls", json={"name": "one"}, headers=KEY).raise_for_status()

    answer = admin.request(method, path, json=body, headers=KEY)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_keys_of_different_callers_are_different(server: RunningServer, admin: httpx.Client) -> None:
    with server.client("admin") as other:
        made = {
            client.post("/v1/api-keys", json=NEW_KEY, headers=KEY).json()["id"] for client in (admin, other)
        }

    assert len(made) == 2


def test_what_was_refused_can_be_sent_again(server: RunningServer, admin: httpx.Client) -> None:
    limit = {"kind": "limit", "metric": "calls"}

    refused = admin.put("/v1/features/calls", json=limit, headers=KEY)
    kept = count_rows(server, kept_answers)
    admin.put("/v1/metrics/calls", json={}).raise_for_status()
    done = admin.put("/v1/features/calls", json=limit, headers=KEY)

    assert (refused.status_code, kept, done.status_code, count_rows(server, kept_answers)) == (422, 0, 200, 1)


def test_only_who_may_write_is_answered_again(server: RunningServer, admin: httpx.Client) -> None:
    own = admin.get("/v1/api-keys").json()["api_keys"][0]["id"]

    admin.delete(f"/v1/api-keys/{own}", headers=KEY).raise_for_status()

    assert admin.delete(f"/v1/api-keys/{own}", headers=KEY).status_code == 401


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "tab\there"])
def test_a_key_is_1_to_255_visible_characters(admin: httpx.Client, key: str) -> None:
    answer = admin.put("/v1/metrics/calls", json={}, headers={b"Idempotency-Key": key.encode()})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "1 to 255 visible ASCII" in answer.json()["detail"]


def test_of_two_keys_none_is_taken(admin: httpx.Client) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

    assert admin.put("/v1/metrics/calls", json={}, headers=headers).status_code == 422


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/stripe/forward"])
def test_what_is_idempotent_by_nature_needs_no_key(
    server: RunningServer, admin: httpx.Client, path: str
) -> None:
    body = {"source": "s", "slots": []}

    answers = [admin.post(path, json=body, headers={"Idempotency-Key": "not a key"}) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert count_rows(server, kept_answers) == 0


def test_many_at_once_are_done_once(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin, ThreadPoolExecutor(16) as pool:
        furnish(admin)
        before = count_rows(server_on_each, overrides)
        authorized = {**admin.headers, **KEY}

        def send(_: int) -> httpx.Response:  # each by a connection of its own
            return httpx.post(f"{server_on_each.url}{OVERRIDES}", json=DENY, headers=authorized, timeout=30)

        answers = list(pool.map(send, range(48)))

        done = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        refused = [answer for answer in answers if answer.status_code != 201]
        assert len(done) == 1
        assert {answer.json()["code"] for answer in refused} <= {"request_in_progress"}
        assert count_rows(server_on_each, overrides) == before + 1


class Held:
    """Holds the lock of environment `test` in another thread, so that writes in it wait."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.go = threading.Event()
        self.has_it = threading.Event()
        self.thread = threading.Thread(target=lambda: server.write(self.hold))

    async def hold(self, connection: AsyncConnection) -> None:
        await lock(connection, "test")
        self.has_it.set()
        await asyncio.to_thread(self.go.wait, 30)

    def __enter__(self) -> None:
        self.thread.start()
        assert self.has_it.wait(10)

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.thread.join(30)


def put_from(servers: Sequence[str], headers: Mapping[str, str], held: Held) -> list[httpx.Response]:
    """Send one request to each of the servers; let the environment go when one has been answered."""

    def put(url: str) -> httpx.Response:
        return httpx.put(f"{url}/v1/metrics/calls", json={}, headers={**headers, **KEY}, timeout=30)

    with ThreadPoolExecutor(2) as pool, held:
        sent = [pool.submit(put, url) for url in servers]
        wait(sent, 20, FIRST_COMPLETED)
    return sorted((each.result() for each in sent), key=lambda answer: answer.status_code)


def test_while_it_runs_it_is_in_progress(server_on_each: RunningServer) -> None:
    with server_on_each.client("admin") as admin:
        done, refused = put_from([server_on_each.url] * 2, admin.headers, Held(server_on_each))

        assert (done.status_code, refused.status_code) == (200, 409)
        assert (refused.json()["code"], refused.headers["Retry-After"]) == ("request_in_progress", "1")
        assert admin.put("/v1/metrics/calls", json={}, headers=KEY).headers["Idempotent-Replayed"] == "true"


def test_replicas_know_of_each_other(
    postgres: PostgresServer, postgres_template: str, tmp_path: Path
) -> None:
    url = postgres.url(postgres.make_database(postgres_template))
    settings = Settings(data_dir=tmp_path, database_url=url)
    with run_server(settings) as one, run_server(settings) as other, one.client("admin") as admin:
        # FastAPI builds its routes at the first request, and not in two threads of one process at once.
        assert {admin.get(f"{server.url}/v1/features").status_code for server in (one, other)} == {200}
        done, refused = put_from([one.url, other.url], admin.headers, Held(one))

    assert (done.status_code, refused.status_code) == (200, 409)
    assert refused.json()["code"] == "request_in_progress"


@contextmanager
def server_process(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server with the same database and secret key, in a process of its own."""
    env = {**os.environ, "FLUX_DATA_DIR": str(settings.data_dir), "FLUX_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "flux_server", "serve", "--port", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1], process
        finally:
            process.kill()


def test_what_a_killed_server_has_done_is_not_done_again(server_on_each: RunningServer) -> None:
    """Ten clients make exceptions until the server is killed in the midst of it; then all send theirs again."""
    keys, answered = itertools.count(), threading.Semaphore(0)

    def make_exceptions(url: str, authorized: dict[str, str]) -> int:
        with httpx.Client(base_url=url, headers=authorized, timeout=30) as client:
            while True:
                key = next(keys)
                try:
                    client.post(
                        OVERRIDES, json=DENY, headers={"Idempotency-Key": f"{key}"}
                    ).raise_for_status()
                except httpx.TransportError:
                    return key
                answered.release()

    with server_on_each.client("admin") as admin, server_process(server_on_each.settings) as (url, process):
        furnish(admin)
        before = count_rows(server_on_each, overrides)
        with ThreadPoolExecutor(10) as pool:
            cut_off = [pool.submit(make_exceptions, url, dict(admin.headers)) for _ in range(10)]
            assert all(answered.acquire(timeout=30) for _ in range(40))
            process.kill()
            unanswered = {each.result() for each in cut_off}
        sent = next(keys)
        answers = [
            admin.post(OVERRIDES, json=DENY, headers={"Idempotency-Key": f"{key}"}) for key in range(sent)
        ]

        replayed = {key for key, answer in enumerate(answers) if "Idempotent-Replayed" in answer.headers}
        assert {answer.status_code for answer in answers} == {201}
        assert replayed >= set(range(sent)) - unanswered
        assert count_rows(server_on_each, overrides) - before == sent


def test_an_answer_is_kept_for_a_day(server: RunningServer, admin: httpx.Client) -> None:
    admin.put("/v1/metrics/calls", json={}, headers=KEY).raise_for_status()

    def prune(moment: int) -> int:
        assert not server.write(lambda connection: prune_answers(connection, moment))
        return count_rows(server, kept_answers)

    assert [prune(NOON + KEPT_SECONDS), prune(NOON + KEPT_SECONDS + 1)] == [1, 0]


@pytest.mark.parametrize("reason", ["too-large", "another-secret-key"])
def test_what_was_done_is_not_done_again_though_its_answer_is_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    with run_server(settings) as server, server.client("admin") as admin:
        if reason == "too-large":
            monkeypatch.setattr(idempotency, "MAX_KEPT", 10)
        admin.put("/v1/metrics/calls", json={}, headers=KEY).raise_for_status()
        key = admin.headers["Authorization"]
    if reason == "another-secret-key":
        (settings.data_dir / "secret.key").unlink()

    with run_server(settings) as server:
        again = httpx.put(
            f"{server.url}/v1/metrics/calls", json={}, headers={**KEY, "Authorization": key}, timeout=30
        )

    assert (again.status_code, again.json()["code"]) == (409, "answer_not_kept")
