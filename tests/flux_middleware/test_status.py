"""What a client says of itself, and clients side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import flux
from flux_middleware.beacon import REFRESHER
from flux_middleware.client import Flux
from tests.flux_middleware.clients import KEY, QUICK, client, threads
from tests.flux_middleware.hosts import forked, wait_until
from tests.flux_middleware.shop import Shop

# Of the client's own tests: one that leaves no default client behind.
from tests.flux_middleware.test_client import no_default as no_default
from tests.flux_server.running import FakeClock

NOBODY = "http://127.0.0.1:1"


def test_a_client_says_whom_it_asks_what_it_knows_and_who_follows(running: Flux, shop: Shop) -> None:
    wait_until(lambda: running.status().revision == shop.revision, "everything is known")
    wait_until(lambda: running.status().refresher_alive, "this process follows")
    status = running.status()

    assert (status.ready, status.environment, status.url, status.age) == (True, "test", shop.url, 0)
    assert (status.organizations, status.backlog) == (1, 0)
    assert (status.refresher, status.is_refresher) == (os.getpid(), True)
    assert (status.problem, dict(status.conditions)) == (None, {})


def test_a_client_says_how_old_what_it_knows_is(running: Flux, shop: Shop, clock: FakeClock) -> None:
    shop.stop()
    wait_until(lambda: running.status().problem, "the outage is noticed")

    clock.now += 90

    assert running.status().age == 90


def test_a_client_that_never_heard_from_the_server_says_so(tmp_path: Path) -> None:
    with client(tmp_path, NOBODY, start=False) as alone:
        alone.billing.record_usage("acme", "calls")
        alone.billing.is_entitled("acme", "sso")
        status = alone.status()

    assert (status.ready, status.revision, status.age, status.organizations) == (False, None, None, 0)
    assert (status.refresher, status.refresher_alive, status.is_refresher) == (None, False, False)
    assert (status.backlog, dict(status.conditions)) == (1, {"unavailable": "unavailable"})


def test_a_refresher_that_was_killed_is_not_alive(tmp_path: Path) -> None:
    with client(tmp_path, NOBODY, start=False) as one, forked(lambda say: say("here")) as child:
        child.wait()
        one._store.beacon.words[REFRESHER] = child.pid

        assert (one.status().refresher, one.status().refresher_alive) == (child.pid, False)


def test_what_is_wrong_is_named_by_its_condition(running: Flux) -> None:
    running.billing.is_entitled("acme", "fax")

    assert dict(running.status().conditions) == {"feature fax": "unknown"}


def test_a_status_cannot_be_changed(running: Flux) -> None:
    conditions: Any = running.status().conditions

    with pytest.raises(TypeError):
        conditions["server"] = "well"


def test_a_worker_is_ready_when_any_process_of_its_host_has_heard(
    running: Flux, shop: Shop, tmp_path: Path
) -> None:
    with client(tmp_path, shop.url, shop.key, start=False) as other:
        assert other.wait_until_ready()


def test_waiting_for_a_server_that_is_not_there_ends(tmp_path: Path) -> None:
    with client(tmp_path, NOBODY) as alone:
        assert not alone.wait_until_ready(0.05)


@pytest.mark.usefixtures("no_default")
def test_the_default_client_and_others_answer_each_for_themselves(shop: Shop, tmp_path: Path) -> None:
    shop.grant()
    flux.init(KEY, url=NOBODY, directory=tmp_path / "default", start=False, fallbacks={"seats": 3})
    other = Flux(shop.key, url=shop.url, directory=tmp_path / "other", pace=QUICK)
    third = Flux(KEY, url=NOBODY, directory=tmp_path / "third", start=False)
    assert other.wait_until_ready()

    asked = [each.is_entitled("acme", "sso") for each in (flux.billing, other.billing, third.billing)]
    seats = [each.get_limit("acme", "seats").value for each in (flux.billing, other.billing, third.billing)]

    assert (asked, seats) == ([False, True, False], [3, 0, 0])
    assert (flux.status().ready, other.status().ready) == (False, True)
    other.shutdown(0)
    third.shutdown(0)


@pytest.mark.usefixtures("no_default")
def test_the_end_of_one_client_is_not_that_of_another(shop: Shop, tmp_path: Path) -> None:
    flux.init(KEY, url=NOBODY, directory=tmp_path / "default")
    with Flux(shop.key, url=shop.url, directory=tmp_path / "other", pace=QUICK) as other:
        assert other.wait_until_ready()
        flux.shutdown(0)
        shop.grant()

        wait_until(lambda: other.billing.is_entitled("acme", "sso"), "it still follows")


def test_a_block_sends_what_was_counted_and_ends_the_thread(shop: Shop, tmp_path: Path) -> None:
    with Flux(shop.key, url=shop.url, directory=tmp_path, clock=FakeClock()) as own:
        own.billing.record_usage("acme", "calls", 3)

    wait_until(lambda: not threads(), "the thread ends")
    assert shop.used() == 3


def test_an_error_leaves_a_block(tmp_path: Path) -> None:
    with pytest.raises(LookupError), Flux(KEY, url=NOBODY, directory=tmp_path):
        raise LookupError

    wait_until(lambda: not threads(), "the thread ends")
