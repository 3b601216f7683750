"""A client against a real server: what the server knows is known here, what is counted here is known there."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import flux
from flux_middleware.client import Flux
from flux_middleware.errors import NotInitializedError
from flux_middleware.gate import DecisionReason
from flux_middleware.metering import drain_turn
from tests.flux_middleware.clients import KEY, QUICK, client, threads
from tests.flux_middleware.hosts import forked, wait_until
from tests.flux_middleware.servers import Connection, run_raw_server, run_relay
from tests.flux_middleware.shop import Shop
from tests.flux_server.running import FakeClock


@pytest.fixture
def no_default() -> Iterator[None]:
    """Leave no default client behind; after a shutdown it would go on to answer."""
    yield
    flux.shutdown(0)
    vars(flux.billing).clear()


def open_files_and_sockets(directory: Path) -> int:
    """Count what clients hold; the server, which lives in this process too, opens its database as it needs."""
    held = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            target = Path(os.readlink(f"/proc/self/fd/{number}"))
            held += target.name.startswith("socket:") or (
                target.is_relative_to(directory) and not target.is_relative_to(directory / "data")
            )
    return held


# What the server knows


def test_a_grant_is_known_within_a_moment(running: Flux, shop: Shop) -> None:
    before = running.billing.is_entitled("acme", "sso")

    override = shop.grant()
    wait_until(lambda: running.billing.is_entitled("acme", "sso"), "the grant is known", 5)
    shop.end(override)
    wait_until(lambda: not running.billing.is_entitled("acme", "sso"), "its end is known", 5)

    assert before is False


def test_a_change_of_the_catalog_is_known_within_a_moment(running: Flux, shop: Shop) -> None:
    before = running.billing.check("acme", "exports").reason

    shop.put("features/exports", kind="boolean")
    shop.grant("acme", "exports")
    wait_until(lambda: running.billing.is_entitled("acme", "exports"), "the new feature is known", 5)

    assert before is DecisionReason.UNKNOWN_FEATURE


def test_a_host_that_was_here_before_answers_without_the_server(
    shop: Shop, tmp_path: Path, clock: FakeClock
) -> None:
    shop.grant("acme", "seats", 7)
    with client(tmp_path, shop.url, shop.key, clock) as first:
        first.wait_until_ready()
    shop.stop()

    with client(tmp_path, shop.url, shop.key, clock) as second:
        assert second.billing.get_limit("acme", "seats").value == 7
        assert second.status().ready


def test_checks_go_on_while_the_server_is_down_and_the_outage_is_logged_once(
    running: Flux, shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.grant()
    wait_until(lambda: running.billing.is_entitled("acme", "sso"), "the grant is known")

    monkeypatch.setattr(running._refresher, "_wait_after", lambda *_: 0.05)
    shop.stop()
    wait_until(lambda: "cannot reach" in (running.status().problem or ""), "the outage is noticed")
    tried = len(caplog.records)
    answers = [
        running.billing.is_entitled("acme", "sso") for _ in range(3) if not threading.Event().wait(0.1)
    ]

    assert answers == [True] * 3
    assert tried == len(caplog.records) <= 2  # that the stream ended, and that there is no other
    assert "checks go on from the local store of 2025-10-09 12:00:00 UTC" in caplog.text


def test_a_server_that_is_back_is_followed_again(shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    with run_relay(shop.url) as relay, client(tmp_path, relay.url, shop.key, clock) as running:
        running.wait_until_ready()
        shop.stop()
        wait_until(lambda: running.status().problem, "the outage is noticed")
        shop.start()
        relay.target = shop.url
        shop.grant()
        wait_until(lambda: running.billing.is_entitled("acme", "sso"), "the grant is known", 20)

        assert running.status().problem is None


def test_a_damaged_store_is_filled_anew_within_a_moment(running: Flux, shop: Shop, tmp_path: Path) -> None:
    shop.grant()
    wait_until(lambda: running.billing.is_entitled("acme", "sso"), "the grant is known")
    (data,) = tmp_path.glob("*/store-1/data.mdb")
    with data.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(bytes(data.stat().st_size - 2 * 4096))

    running.billing.is_entitled("globex", "sso")
    wait_until(lambda: running.billing.explain("acme", "sso").allowed, "the store is filled anew", 5)

    assert running.billing.is_entitled("acme", "sso")
    assert len(list(tmp_path.glob("*/store-1/data.mdb.broken"))) == 1


# What the host counts


def test_what_is_counted_arrives_by_itself(running: Flux, shop: Shop) -> None:
    for _ in range(10):
        running.billing.record_usage("acme", "calls")

    wait_until(lambda: shop.used() == 10, "usage arrives", 5)
    wait_until(lambda: running.status().backlog == 0, "it is acknowledged", 5)
    assert running.billing.get_usage("acme", "calls").quantity == 10


def test_usage_of_other_hosts_is_known_here(
    running: Flux, shop: Shop, tmp_path: Path, clock: FakeClock
) -> None:
    with client(tmp_path / "other host", shop.url, shop.key, clock) as other:
        other.billing.record_usage("acme", "calls", 5)
        running.billing.record_usage("acme", "calls", 3)
        wait_until(lambda: running.billing.get_usage("acme", "calls").quantity == 8, "the sum is known here")
        wait_until(lambda: other.billing.get_usage("acme", "calls").quantity == 8, "the sum is known there")


def test_flush_sends_now_in_this_thread(shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    with client(tmp_path, shop.url, shop.key, clock, start=False) as quiet:
        quiet.billing.record_usage("acme", "calls", 3)
        before = quiet.status().backlog

        assert quiet.flush()

        assert (before, quiet.status().backlog, shop.used()) == (1, 0, 3)
        assert threads() == []


def test_flush_is_true_while_others_go_on_counting(running: Flux, shop: Shop) -> None:
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            running.billing.record_usage("acme", "calls")

    thread = threading.Thread(target=count)
    thread.start()
    flushed = [running.flush() for _ in range(5)]
    done.set()
    thread.join()

    assert flushed == [True] * 5


def test_flush_waits_for_its_turn_no_longer_than_it_may(running: Flux, tmp_path: Path) -> None:
    running.billing.record_usage("acme", "calls")
    with drain_turn(running.configuration.directory / "store-1"):
        began = time.monotonic()
        assert not running.flush(0.3)

    assert 0.25 < time.monotonic() - began < 4


def test_flush_without_a_server_is_false_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with client(tmp_path, "http://127.0.0.1:1", start=False) as alone:
        alone.billing.record_usage("acme", "calls", 3)

        assert not alone.flush()
        assert not alone.flush()

        assert alone.status().backlog == 1
        assert alone.billing.get_usage("acme", "calls").quantity == 3
    assert len(caplog.messages) == 1
    assert "it is kept in the journals" in caplog.text


def test_usage_of_one_process_is_sent_by_the_next(shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    with run_relay() as relay:
        with client(tmp_path, relay.url, shop.key, clock) as first:
            first.billing.record_usage("acme", "calls", 3)
        before = shop.used()
        relay.target = shop.url

        with client(tmp_path, relay.url, shop.key, clock):
            wait_until(lambda: shop.used() == 3, "the usage arrives")

    assert before == 0


# Its end


def test_shutdown_sends_what_was_counted(shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    with client(tmp_path, shop.url, shop.key, clock) as running:
        running.wait_until_ready()
        running.billing.record_usage("acme", "calls", 3)

        running.shutdown()

        assert shop.used() == 3
        assert list(tmp_path.glob("*/journals/*.journal")) == []
        assert threads() == []


def test_checks_and_counts_go_on_after_shutdown(shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    shop.grant()
    with client(tmp_path, shop.url, shop.key, clock) as running:
        running.wait_until_ready()
        running.shutdown()

        running.billing.record_usage("acme", "calls", 3)

        assert running.billing.is_entitled("acme", "sso")
        assert running.billing.get_usage("acme", "calls").quantity == 3


def test_shutdown_is_bounded_when_the_server_takes_everything_and_answers_nothing(tmp_path: Path) -> None:
    with run_raw_server(Connection.wait_for_the_end) as server, client(tmp_path, server.url) as running:
        server.asked.wait(10)
        running.billing.record_usage("acme", "calls", 3)
        began = time.monotonic()

        running.shutdown(0.5)

    assert time.monotonic() - began < 4
    assert running.billing.backlog() == 1


def test_shutdown_says_nothing_when_its_directory_is_gone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with client(tmp_path, "http://127.0.0.1:1", start=False) as running:
        running.billing.record_usage("acme", "calls")
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

        running.shutdown()

    assert capfd.readouterr().err == ""


def test_a_client_that_nobody_holds_ends_its_thread_and_leaves_its_journal(
    shop: Shop, tmp_path: Path, clock: FakeClock
) -> None:
    forgotten = Flux(shop.key, url=shop.url, directory=tmp_path, clock=clock, pace=QUICK)
    forgotten.wait_until_ready()
    forgotten.billing.record_usage("acme", "calls", 3)
    gone = weakref.ref(forgotten)
    assert len(threads()) == 1

    del forgotten
    gc.collect()

    assert gone() is None
    wait_until(lambda: not threads(), "the thread ends")
    with client(tmp_path, shop.url, shop.key, clock, start=False) as another:
        assert another.flush()
    assert shop.used() == 3
    assert list(tmp_path.glob("*/journals/*.journal")) == []


def test_clients_that_come_and_go_leave_nothing_open(shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    def come_and_go() -> None:
        with client(tmp_path, shop.url, shop.key, clock) as running:
            running.wait_until_ready()
            running.billing.record_usage("acme", "calls")
            running.billing.get_usage("acme", "calls")
            running.flush()
        del running
        gc.collect()

    come_and_go()
    before = open_files_and_sockets(tmp_path)
    for _ in range(3):
        come_and_go()

    wait_until(lambda: open_files_and_sockets(tmp_path) <= before, "files are closed")
    assert threads() == []


def test_a_child_of_a_client_that_was_shut_down_starts_no_thread(
    shop: Shop, tmp_path: Path, clock: FakeClock
) -> None:
    with client(tmp_path, shop.url, shop.key, clock) as running:
        running.shutdown()
        with forked(lambda say: say(len(threads()))) as child:
            assert child.line() == "0"


# The default client


NAMES: list[Callable[[], object]] = [
    lambda: flux.billing.is_entitled("acme", "sso"),
    lambda: flux.billing.get_limit("acme", "seats"),
    lambda: flux.billing.record_usage("acme", "calls"),
    lambda: flux.billing.get_usage("acme", "calls"),
    lambda: flux.billing.check("acme", "sso"),
    lambda: flux.billing.explain("acme", "sso"),
    lambda: flux.billing.entitlements("acme"),
    lambda: flux.flush(),
    lambda: flux.status(),
    lambda: flux.wait_until_ready(),
]


@pytest.mark.parametrize("ask", NAMES)
def test_whoever_forgets_to_initialize_is_told_to(ask: Callable[[], object]) -> None:
    with pytest.raises(NotInitializedError, match=r"call flux\.init\(\)"):
        ask()


def test_a_misspelt_question_is_no_question() -> None:
    assert not hasattr(flux.billing, "is_entiteld")
    assert not hasattr(flux.billing, "_find")


@pytest.mark.usefixtures("no_default")
def test_the_default_client_is_there_for_everybody(shop: Shop, tmp_path: Path) -> None:
    shop.grant()

    made = flux.init(shop.key, url=shop.url, directory=tmp_path)

    assert flux.wait_until_ready()
    assert flux.billing.is_entitled("acme", "sso")
    assert flux.status().revision == shop.revision
    assert flux.billing.is_entitled == made.billing.is_entitled
    assert flux.flush()


@pytest.mark.usefixtures("no_default")
def test_initializing_again_changes_nothing(tmp_path: Path) -> None:
    first = flux.init(KEY, url="http://127.0.0.1:1", directory=tmp_path)

    assert flux.init(KEY, url="http://127.0.0.1:1/", directory=tmp_path) is first
    assert len(threads()) == 1


@pytest.mark.usefixtures("no_default")
def test_initializing_with_other_settings_replaces_the_client(tmp_path: Path) -> None:
    first = flux.init(KEY, url="http://127.0.0.1:1", directory=tmp_path)
    second = flux.init(KEY, url="http://127.0.0.1:2", directory=tmp_path)

    assert flux.billing.is_entitled == second.billing.is_entitled != first.billing.is_entitled
    wait_until(lambda: len(threads()) == 1, "the first one's thread ends")


@pytest.mark.usefixtures("no_default")
def test_a_request_that_is_not_finished_at_shutdown_is_answered(tmp_path: Path) -> None:
    flux.init(KEY, url="http://127.0.0.1:1", directory=tmp_path, start=False)

    flux.shutdown(0)

    flux.billing.record_usage("acme", "calls")
    assert flux.billing.get_usage("acme", "calls").quantity == 1
    with pytest.raises(NotInitializedError):
        flux.status()
