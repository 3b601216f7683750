from __future__ import annotations

import gzip
import json
import random
import socket
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import insert

from flux_middleware.snapshot import OrganizationRecord, Override, encode
from flux_server import streaming
from flux_server.organizations.tables import organizations
from tests.flux_server.api.routes import furnish
from tests.flux_server.running import NOON, RunningServer

MANY, RECORD = 10_000, 2_000
SMALL_BUFFER = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)]


def padding(chance: random.Random) -> Override:
    return Override("o", "sso", "set", True, reason=chance.randbytes(RECORD // 2 - 65).hex())


def fill(server: RunningServer, environment: str = "test", count: int = MANY) -> None:
    """Store many organizations of about two kilobytes each: more than sockets and buffers hold."""
    chance = random.Random(0)  # what does not compress well, as real records do not
    rows = [
        {
            "environment": environment,
            "id": f"org-{number:05}",
            "name": "",
            "created_at": NOON,
            "record": encode(OrganizationRecord(f"org-{number:05}", overrides=(padding(chance),))),
        }
        for number in range(count)
    ]
    server.write(lambda connection: connection.execute(insert(organizations), rows))


@contextmanager
def reading(
    server: RunningServer, environment: str = "test"
) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    """Begin to read a snapshot that is not compressed, slowly: through a small buffer."""
    headers = {
        "Authorization": f"Bearer {server.make_key('sdk', environment)}",
        "Accept-Encoding": "identity",
    }
    with (
        httpx.Client(transport=httpx.HTTPTransport(socket_options=SMALL_BUFFER), timeout=20) as client,
        client.stream("GET", f"{server.url}/v1/snapshot", headers=headers) as answer,
    ):
        yield answer, answer.iter_lines()


def lines(content: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in content.splitlines()]


def test_an_empty_snapshot_has_a_header_and_an_end(admin: httpx.Client) -> None:
    header, end = lines(admin.get("/v1/snapshot").content)

    assert header.pop("catalog") is not None
    assert header == {"type": "header"} | admin.get("/v1/environment").json()
    assert end == {"type": "end", "organizations": 0}


def test_a_snapshot_holds_the_catalog_and_every_record(admin: httpx.Client) -> None:
    furnish(admin)
    admin.put("/v1/organizations/b%2Fü", json={}).raise_for_status()

    header, acme, other, end = lines(admin.get("/v1/snapshot").content)

    catalog = header["catalog"]
    assert isinstance(catalog, dict)
    assert [version["id"] for version in catalog["plan_versions"]] == ["pro@1"]
    assert (acme["id"], acme["type"], other["id"]) == ("acme", "organization", "b/ü")
    assert end == {"type": "end", "organizations": 2}


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("*", "gzip"),
        ("identity", None),
        ("", None),
        ("gzip;q=0", None),
        ("deflate, br", None),
    ],
)
def test_it_is_compressed_for_who_asks(admin: httpx.Client, accept: str, encoding: str | None) -> None:
    furnish(admin)

    with admin.stream("GET", "/v1/snapshot", headers={"Accept-Encoding": accept}) as answer:
        raw = b"".join(answer.iter_raw())

    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert "Accept-Encoding" in answer.headers["Vary"]
    content = gzip.decompress(raw) if encoding else raw
    assert lines(content)[-1] == {"type": "end", "organizations": 1}


@pytest.fixture(scope="module")
def large_server(shared_server: RunningServer) -> RunningServer:
    fill(shared_server)
    return shared_server


@pytest.mark.parametrize("accept", ["identity", "gzip"])
def test_a_large_snapshot_is_never_held_as_a_whole(large_server: RunningServer, accept: str) -> None:
    with large_server.client("sdk") as client:
        request = client.build_request("GET", "/v1/snapshot", headers={"Accept-Encoding": accept})
        tracemalloc.start()
        answer = client.send(request, stream=True)
        size = 0
        for piece in answer.iter_bytes():
            size, last = size + len(piece), piece
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert size > MANY * RECORD * 0.9
    assert last.endswith(b'{"type":"end","organizations":%d}\n' % MANY)
    assert peak < size / 2


def test_what_is_committed_meanwhile_is_not_in_it(server_on_each: RunningServer) -> None:
    fill(server_on_each, count=MANY)
    with server_on_each.client("admin") as admin, reading(server_on_each) as (_, found):
        header = json.loads(next(found))
        admin.put("/v1/features/sso", json={"kind": "boolean"}).raise_for_status()
        admin.put("/v1/organizations/zzz", json={}).raise_for_status()
        deny = {"feature": "sso", "effect": "deny"}
        admin.post(f"/v1/organizations/org-{MANY - 1:05}/overrides", json=deny).raise_for_status()
        records = [json.loads(line) for line in found]

    end = records.pop()
    assert header["revision"] == 0
    assert end == {"type": "end", "organizations": MANY}
    assert [record["id"] for record in records] == [f"org-{number:05}" for number in range(MANY)]
    assert all(record.get("revision", 0) == 0 for record in records)


def is_being_read(server: RunningServer) -> bool:
    """Say whether a transaction still reads the database as it was before the last commit."""
    with sqlite3.connect(server.settings.data_dir / "flux.sqlite3", timeout=0) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
    return bool(busy)


def wait_until_not_read(server: RunningServer) -> None:
    deadline = time.monotonic() + 10
    while is_being_read(server):
        assert time.monotonic() < deadline


def test_a_reader_that_stalls_is_cut_off_and_its_transaction_ends(
    large_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_PATIENCE", 0.5)
    with reading(large_server) as (_, found):
        next(found)
        large_server.make_key()  # a commit that the snapshot must not see
        assert is_being_read(large_server)

        wait_until_not_read(large_server)

        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            assert all('"end"' not in line for line in found)


def test_the_transaction_of_a_reader_that_is_gone_ends(large_server: RunningServer) -> None:
    with reading(large_server) as (_, found):
        next(found)
        large_server.make_key()
        assert is_being_read(large_server)

    wait_until_not_read(large_server)


def test_readers_who_take_their_time_do_not_keep_others_out(large_server: RunningServer) -> None:
    """Each holds a turn; whoever comes late waits for one, while other requests are answered."""
    readers = [reading(large_server) for _ in range(4)]
    for reader in readers:
        _, found = reader.__enter__()
        next(found)
    with large_server.client("admin", "live") as admin:
        assert admin.get("/v1/features").status_code == 200
        assert admin.put("/v1/metrics/calls", json={}).status_code == 200
    for reader in readers:
        reader.__exit__(None, None, None)

    with reading(large_server, "live") as (_, found):
        assert len(list(found)) == 2
