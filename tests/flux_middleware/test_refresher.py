"""The thread in the background: one of a host's processes talks to the server, and nothing ends that for long."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from flux_middleware.beacon import REFRESHER
from flux_middleware.client import Flux
from flux_middleware.errors import ServerRefusedError, StoreError
from flux_middleware.refresher import backoff
from tests.flux_middleware.clients import client
from tests.flux_middleware.hosts import wait_until
from tests.flux_middleware.servers import response, run_raw_server
from tests.flux_middleware.shop import Shop
from tests.flux_server.running import FakeClock


def test_one_process_is_the_refresher(running: Flux, shop: Shop, tmp_path: Path, clock: FakeClock) -> None:
    wait_until(lambda: running.status().is_refresher, "it takes office")
    with client(tmp_path, shop.url, shop.key, clock) as second:
        assert second.wait_until_ready()
        status = second.status()

    assert (status.refresher, status.is_refresher) == (os.getpid(), False)


def test_the_next_takes_over_when_the_refresher_ends(
    running: Flux, shop: Shop, tmp_path: Path, clock: FakeClock
) -> None:
    wait_until(lambda: running.status().is_refresher, "it takes office")
    with client(tmp_path, shop.url, shop.key, clock) as second:
        running.shutdown()
        wait_until(lambda: second.status().is_refresher, "the second takes over", 5)
        shop.grant()
        wait_until(lambda: second.billing.is_entitled("acme", "sso"), "the grant is known")


def test_nobody_is_the_refresher_when_the_last_ends(running: Flux) -> None:
    wait_until(lambda: running.status().is_refresher, "it takes office")

    running.shutdown()

    assert running._store.beacon.words[REFRESHER] == 0
    assert running.status().refresher is None


def test_a_status_says_how_it_is(running: Flux, shop: Shop, clock: FakeClock, tmp_path: Path) -> None:
    wait_until(lambda: running.status().is_refresher, "it takes office")
    clock.now += 7
    status = running.status()

    assert (status.ready, status.environment, status.url) == (True, "test", shop.url)
    assert (status.revision, status.organizations) == (shop.revision, 1)
    assert status.age in (0, 7)  # a heartbeat may have come since the clock was turned
    assert (status.refresher, status.backlog, status.problem) == (os.getpid(), 0, None)
    assert Path(status.directory).parent == tmp_path


def test_a_status_of_a_host_that_never_reached_its_server_says_so(tmp_path: Path) -> None:
    with client(tmp_path, "http://127.0.0.1:1") as running:
        wait_until(lambda: running.status().problem, "the problem is known")
        status = running.status()

    assert (status.ready, status.revision, status.age, status.organizations) == (False, None, None, 0)
    assert "cannot reach http://127.0.0.1:1" in (status.problem or "")
    assert not running.wait_until_ready(0)


@pytest.mark.parametrize("attempt", [0, 1, 5, 10, 10_000])
def test_waiting_grows_up_to_a_bound_and_is_left_to_chance(attempt: int) -> None:
    assert backoff(attempt, 0) == 0
    assert backoff(attempt, 1) == min(20, 0.2 * 2 ** min(attempt, 20))


def test_a_server_that_says_when_to_come_back_is_not_asked_before_nor_much_later(tmp_path: Path) -> None:
    with client(tmp_path, "http://127.0.0.1:1", start=False) as quiet:
        waits = [
            quiet._refresher._wait_after(ServerRefusedError(503, "busy", retry_after=seconds), 0)
            for seconds in (None, 7.0, 86_400.0, float("inf"))
        ]

    assert waits[0] <= 0.2
    assert waits[1:] == [7, 60, 60]


def test_a_busy_server_is_left_alone(tmp_path: Path) -> None:
    busy = response(503, b'{"detail": "later"}', "Retry-After: 30")
    with run_raw_server(busy) as server, client(tmp_path, server.url) as running:
        wait_until(lambda: running.status().problem, "the refusal is known")
        running.shutdown()

    assert len(server.requests) == 1
    assert running.status().problem == "the Flux server answered 503: later"


def test_a_store_that_fails_is_logged_once_and_followed_again_when_it_works(
    running: Flux, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "flux")
    wait_until(lambda: running.status().is_refresher, "it takes office")
    failures = 0

    def refuse(*arguments: object, **more: object) -> None:
        nonlocal failures
        failures += 1
        raise StoreError("the disk is full")

    monkeypatch.setattr(running._refresher, "_wait_after", lambda *_: 0.05)
    with monkeypatch.context() as failing:
        for name in ("apply", "acknowledge", "tend"):
            failing.setattr(running._store, name, refuse)
        running.billing.record_usage("acme", "calls", 3)
        wait_until(lambda: failures > 6, "it is tried again and again")

    shop.grant()
    wait_until(lambda: running.billing.is_entitled("acme", "sso"), "the grant is known")
    wait_until(lambda: shop.used() == 3 and running.status().backlog == 0, "usage arrives")
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 4  # the store and usage, each once in a row
    assert all("the disk is full" in message for message in warnings)


def test_what_nobody_thought_of_is_logged_once_and_ends_nothing(
    running: Flux, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0

    def break_down() -> None:
        nonlocal failures
        failures += 1
        raise ZeroDivisionError("division by zero")

    with monkeypatch.context() as failing:
        failing.setattr(running._refresher, "_tend", break_down)
        wait_until(lambda: failures > 3, "it is tried again")
        assert "ZeroDivisionError" in (running.status().problem or "")

    shop.grant()
    wait_until(lambda: running.billing.is_entitled("acme", "sso"), "the grant is known")
    assert caplog.text.count("the refresher failed") == 1
    assert running.status().problem is None
