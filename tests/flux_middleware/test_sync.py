"""Following a server into the store: nothing is missed, nothing is taken over by half, nothing of another server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from flux_middleware.catalog import Catalog, Feature
from flux_middleware.errors import (
    InvalidApiKeyError,
    SchemaVersionError,
    ServerUnreachableError,
    TransportError,
)
from flux_middleware.memory_store import MemoryStore
from flux_middleware.snapshot import SnapshotEnd, encode
from flux_middleware.sync import Sync
from flux_middleware.transport import Transport
from flux_server.environments.api_keys import find_api_key, revoke_api_key
from flux_server.environments.revisions import prune_changes
from tests.flux_middleware.hosts import CATALOG, NOON, fill, header, record
from tests.flux_middleware.servers import Connection, response, run_raw_server
from tests.flux_middleware.shop import Shop
from tests.flux_server.running import FakeClock

KEY = "flux_test_0123456789"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@contextmanager
def following(
    store: MemoryStore,
    url: str,
    key: str = KEY,
    environment: str = "test",
    turn: Callable[[], bool] = lambda: True,
) -> Iterator[Iterator[bool]]:
    """Follow the server; each step takes in what arrived together."""

    @contextmanager
    def usage_turn() -> Iterator[bool]:
        yield turn()

    with closing(Transport(url, key)) as transport:
        sync = Sync(store, transport, environment, clock=FakeClock(), heartbeat=0.2, usage_turn=usage_turn)
        with closing(sync.follow()) as steps:  # type: ignore[type-var]  # a generator, said to be an iterator
            yield steps


def step_until(steps: Iterator[bool], condition: Callable[[], object]) -> None:
    for _ in range(50):
        if condition():
            return
        next(steps)
    raise AssertionError("in vain")


def sso(store: MemoryStore, organization: str = "acme") -> bool:
    found = store.organization(organization)[1]
    return found is not None and any(override.feature == "sso" for override in found.overrides)


def revision(store: MemoryStore) -> int:
    synced = store.synced()
    return -1 if synced is None else synced.revision


def test_the_first_thing_is_a_snapshot(store: MemoryStore, shop: Shop) -> None:
    shop.grant()

    with following(store, shop.url, shop.key) as steps:
        next(steps)

    synced = store.synced()
    assert synced is not None
    assert (synced.environment, synced.revision, synced.organizations) == ("test", shop.revision, 1)
    assert sso(store)


def test_a_change_is_pushed(store: MemoryStore, shop: Shop) -> None:
    with following(store, shop.url, shop.key) as steps:
        next(steps)
        override = shop.grant()
        step_until(steps, lambda: sso(store))
        shop.end(override)
        step_until(steps, lambda: not sso(store))

    assert revision(store) == shop.revision


def test_a_change_of_the_catalog_is_pushed(store: MemoryStore, shop: Shop) -> None:
    with following(store, shop.url, shop.key) as steps:
        next(steps)
        shop.put("features/exports", kind="boolean")
        step_until(steps, lambda: "exports" in (store.catalog()[1] or Catalog()).feature_by_key)

    assert revision(store) == shop.revision


def test_what_was_missed_is_made_up_for_without_a_snapshot(store: MemoryStore, shop: Shop) -> None:
    with following(store, shop.url, shop.key) as steps:
        next(steps)
    before, _ = store.catalog()
    shop.grant()

    with following(store, shop.url, shop.key) as steps:
        step_until(steps, lambda: sso(store))

    assert store.changed_since(before) == (before + 1, frozenset({"acme"}))


def test_a_gap_older_than_the_servers_log_takes_a_snapshot(store: MemoryStore, shop: Shop) -> None:
    with following(store, shop.url, shop.key) as steps:
        next(steps)
    for _ in range(3):
        shop.end(shop.grant())
    shop.grant()
    shop.server.write(lambda connection: prune_changes(connection, "test", keep=1))
    before, _ = store.catalog()

    with following(store, shop.url, shop.key) as steps:
        step_until(steps, lambda: sso(store))

    assert store.changed_since(before)[1] is None
    assert revision(store) == shop.revision


def test_a_restarted_server_is_followed_from_where_it_was(store: MemoryStore, shop: Shop) -> None:
    with following(store, shop.url, shop.key) as steps:
        next(steps)
        shop.stop()
        with pytest.raises(ServerUnreachableError):
            step_until(steps, lambda: False)
    before, _ = store.catalog()
    shop.start()
    shop.grant()

    with following(store, shop.url, shop.key) as steps:
        step_until(steps, lambda: sso(store))

    assert store.changed_since(before)[1] == frozenset({"acme"})


def test_another_database_is_followed_as_if_nothing_had_been_known(store: MemoryStore, shop: Shop) -> None:
    fill(store, record("acme", "sso"), record("globex", "sso"), revision=1_000, instance="another")

    with following(store, shop.url, shop.key) as steps:
        next(steps)

    assert (sso(store), sso(store, "globex"), revision(store)) == (False, False, shop.revision)


def test_a_restored_backup_is_followed_although_it_is_older(store: MemoryStore, shop: Shop) -> None:
    database = shop.settings.data_dir / "flux.sqlite3"
    shop.stop()
    shutil.copy(database, database.with_suffix(".backup"))
    shop.start()
    shop.grant()
    with following(store, shop.url, shop.key) as steps:
        step_until(steps, lambda: sso(store))
    shop.stop()
    for path in shop.settings.data_dir.glob("flux.sqlite3*"):
        path.unlink()
    shutil.copy(database.with_suffix(".backup"), database)
    shop.start()

    with following(store, shop.url, shop.key) as steps:
        step_until(steps, lambda: not sso(store))

    assert revision(store) == shop.revision


def test_a_key_of_another_environment_is_refused(store: MemoryStore, shop: Shop) -> None:
    key = shop.server.make_key("sdk", "live")

    with following(store, shop.url, key) as steps, pytest.raises(TransportError, match="check FLUX_URL and"):
        next(steps)

    assert store.synced() is None


def test_a_revoked_key_ends_the_stream_and_opens_no_other(store: MemoryStore, shop: Shop) -> None:
    found = shop.server.read(lambda connection: find_api_key(connection, shop.key))
    assert found is not None
    key = found.id

    with following(store, shop.url, shop.key) as steps:
        next(steps)
        shop.server.write(lambda connection: revoke_api_key(connection, "test", key, now=NOON))
        with pytest.raises(ServerUnreachableError, match="ended the stream"):
            step_until(steps, lambda: False)
    with following(store, shop.url, shop.key) as steps, pytest.raises(InvalidApiKeyError):
        next(steps)


def test_usage_of_all_hosts_is_pushed(store: MemoryStore, shop: Shop) -> None:
    with following(store, shop.url, shop.key) as steps:
        next(steps)
        report(shop, 7)
        step_until(steps, lambda: store.usage("acme", "calls", [])[0])

    standing, _ = store.usage("acme", "calls", [])
    assert standing is not None
    assert standing.quantity == 7


def test_usage_waits_while_another_process_notes_what_it_sent(store: MemoryStore, shop: Shop) -> None:
    is_turn = False

    with following(store, shop.url, shop.key, turn=lambda: is_turn) as steps:
        next(steps)
        report(shop, 7)
        shop.grant()
        step_until(steps, lambda: sso(store))
        before, _ = store.usage("acme", "calls", [])
        is_turn = True
        step_until(steps, lambda: store.usage("acme", "calls", [])[0])

    assert before is None


def report(shop: Shop, total: int) -> None:
    slot = {"organization": "acme", "metric": "calls", "bucket": NOON, "total": total}
    with shop.client(shop.key) as client:
        client.post("/v1/usage", json={"source": "other", "slots": [slot]}).raise_for_status()


def test_a_store_made_anew_meanwhile_is_filled_within_a_heartbeat(store: MemoryStore, shop: Shop) -> None:
    shop.grant()
    with following(store, shop.url, shop.key) as steps:
        next(steps)
        store._synced, store._organizations = None, {}
        step_until(steps, lambda: sso(store))

    assert revision(store) == shop.revision


# A server that does not keep to what was agreed.

HEADER = encode(header(1))
ACME = encode(record("acme", "sso"))
END = encode(SnapshotEnd(1))
SNAPSHOT = b"\n".join([HEADER, ACME, END, b""])


def stream(*events: bytes) -> bytes:
    hello = b'hello\ndata: {"schema":"1.0","environment":"test","instance":"first","revision":1}'
    text = b"".join(b"event: " + event + b"\n\n" for event in (hello, *events))
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + text


def beat(revision: int) -> bytes:
    return b'heartbeat\ndata: {"revision":%d}' % revision


def serving(snapshot: bytes, *streams: bytes) -> Callable[[Connection], None]:
    """Answer with the snapshot, and with one stream after the other, the last one again and again."""
    left = list(streams)

    def answer(connection: Connection) -> None:
        request = connection.first
        while request:
            if request.startswith(b"GET /v1/snapshot"):
                connection.send(response(200, snapshot))
            else:
                connection.send(left.pop(0) if len(left) > 1 else left[0])
                return
            request = connection.request()

    return answer


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        pytest.param([HEADER, ACME], ServerUnreachableError, "cut the snapshot short", id="cut-off"),
        pytest.param([HEADER], ServerUnreachableError, "cut the snapshot short", id="header-alone"),
        pytest.param([HEADER, END], ServerUnreachableError, "left out part", id="part-left-out"),
        pytest.param([HEADER, ACME[:20], END], TransportError, "cannot read", id="line-cut-off"),
        pytest.param([ACME, END], TransportError, "does not send a snapshot", id="no-header"),
        pytest.param([b"<html>"], TransportError, "cannot read", id="html"),
        pytest.param([], TransportError, "cannot read", id="nothing"),
        pytest.param(
            [HEADER.replace(b'"schema":"1.0"', b'"schema":"2.0"'), ACME, END],
            SchemaVersionError,
            "upgrade flux-middleware",
            id="newer-major",
        ),
        pytest.param(
            [HEADER.replace(b'"environment":"test"', b'"environment":"live"'), ACME, END],
            TransportError,
            "check FLUX_URL and FLUX_API_KEY",
            id="other-environment",
        ),
    ],
)
def test_a_snapshot_that_is_not_as_agreed_is_not_taken_over(
    lines: list[bytes], error: type[TransportError], message: str
) -> None:
    store = MemoryStore()
    fill(store, record("globex", "sso"), revision=5)
    snapshot = b"".join(line + b"\n" for line in lines)

    with (
        run_raw_server(
            serving(snapshot, stream())
        ) as server,  # its revision is older: it asks for a snapshot
        following(store, server.url) as steps,
        pytest.raises(error, match=message),
    ):
        next(steps)

    assert (sso(store), sso(store, "globex"), revision(store)) == (False, True, 5)


def test_a_snapshot_cut_within_its_answer_is_not_taken_over(store: MemoryStore) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + HEADER + b"\n" + ACME + b"\n"

    with (
        run_raw_server(cut) as server,
        following(store, server.url) as steps,
        pytest.raises(ServerUnreachableError),
    ):
        next(steps)

    assert store.synced() is None


def test_what_a_newer_server_adds_is_ignored(store: MemoryStore) -> None:
    newer = SNAPSHOT.replace(b'"schema":"1.0"', b'"schema":"1.9","moon":"full"')

    with (
        run_raw_server(serving(newer, stream(b"moon\ndata: full", beat(1)))) as server,
        following(store, server.url) as steps,
    ):
        assert next(steps)

    assert sso(store)


def test_a_stream_of_a_newer_major_schema_is_refused(store: MemoryStore) -> None:
    fill(store, record("acme", "sso"))
    newer = stream().replace(b'"schema":"1.0"', b'"schema":"2.0"')

    with (
        run_raw_server(newer) as server,
        following(store, server.url) as steps,
        pytest.raises(SchemaVersionError, match="upgrade"),
    ):
        next(steps)


def test_an_event_that_cannot_be_read_is_an_error_and_changes_nothing(store: MemoryStore) -> None:
    fill(store, record("acme", "sso"))

    with (
        run_raw_server(stream(b"change\nid: 2\ndata: {")) as server,
        following(store, server.url) as steps,
        pytest.raises(TransportError, match="cannot read"),
    ):
        next(steps)

    assert revision(store) == 1


def test_a_lost_push_is_found_by_the_heartbeats_revision(store: MemoryStore) -> None:
    fill(store, record("acme"))
    change = b'change\nid: 2\ndata: {"type":"organization","revision":2,"record":' + ACME + b"}"
    lost, then = stream(beat(2), b"moon\ndata: 1", beat(2)), stream(change, beat(2))

    with run_raw_server(serving(SNAPSHOT, lost, then)) as server, following(store, server.url) as steps:
        step_until(steps, lambda: sso(store))
        requests = list(server.requests)

    assert [b"/v1/stream" in request for request in requests] == [True, True]
    assert revision(store) == 2


def test_a_push_that_is_lost_again_takes_a_snapshot(store: MemoryStore) -> None:
    fill(store, record("acme"))
    snapshot = SNAPSHOT.replace(b'"revision":1', b'"revision":2', 1)
    lost = stream(beat(2), beat(2))
    at_last = stream(beat(2)).replace(b'"revision":1', b'"revision":2')

    with (
        run_raw_server(serving(snapshot, lost, lost, at_last)) as server,
        following(store, server.url) as steps,
    ):
        step_until(steps, lambda: sso(store))

    assert revision(store) == 2


def test_a_change_on_its_way_is_not_taken_for_lost(store: MemoryStore) -> None:
    fill(store, record("acme"))
    change = b'change\nid: 2\ndata: {"type":"organization","revision":2,"record":' + ACME + b"}"

    with run_raw_server(stream(beat(2), change, beat(3))) as server, following(store, server.url) as steps:
        next(steps)
        with pytest.raises(ServerUnreachableError, match="ended the stream"):
            step_until(steps, lambda: False)

    assert len(server.requests) == 1


def test_a_server_that_asks_for_one_snapshot_after_the_other_is_not_obeyed_for_ever(
    store: MemoryStore,
) -> None:
    """Two databases behind one address would keep a host busy with nothing else."""
    with (
        run_raw_server(serving(SNAPSHOT, stream(b"resync\ndata: {}"))) as server,
        following(store, server.url) as steps,
        pytest.raises(TransportError, match="several databases"),
    ):
        step_until(steps, lambda: False)

    assert sum(b"/v1/snapshot" in request for request in server.requests) <= 3


def test_a_snapshot_has_its_catalog(store: MemoryStore) -> None:
    with run_raw_server(serving(SNAPSHOT, stream(beat(1)))) as server, following(store, server.url) as steps:
        next(steps)

    catalog = store.catalog()[1]
    assert catalog == CATALOG
    assert catalog.feature_by_key["sso"] == Feature("sso", "boolean", merge="any")
