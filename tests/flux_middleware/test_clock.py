"""A clock that somebody else turns, and everybody follows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flux_middleware.client import Flux
from flux_middleware.clock import FollowedClock, read_now
from flux_middleware.errors import ConfigurationError, InvalidRecordError
from tests.flux_middleware.clients import KEY, client
from tests.flux_middleware.hosts import forked, wait_until
from tests.flux_middleware.servers import response, run_raw_server
from tests.flux_middleware.shop import Shop, WallClock
from tests.flux_sandbox.running import RunningSandbox, running_sandbox
from tests.flux_server.running import NOON, FakeClock

DAY = 86_400
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def follower(sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flux]:
    """A client that goes by the sandbox's clock, and finds no server."""
    monkeypatch.setenv("FLUX_CLOCK_URL", f"{sandbox.url}/_sandbox/clock")
    with client(tmp_path, NOBODY, clock=WallClock()) as running:
        yield running


def period_start(client: Flux) -> int:
    return client.billing.get_usage("acme", "calls").period_start


def test_the_time_is_as_far_ahead_as_the_followed_clock_was_at_most() -> None:
    wall = FakeClock()
    clock = FollowedClock(wall)

    ahead = [clock.follow(NOON + said) for said in (30 * DAY, 30 * DAY - 1, 31 * DAY)]
    wall.now += 5

    assert ahead == [0, 1, 0]
    assert clock() == NOON + 31 * DAY + 5


def test_a_clock_that_is_behind_changes_nothing() -> None:
    clock = FollowedClock(FakeClock())

    assert clock.follow(NOON - DAY) == DAY
    assert clock() == NOON


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"now": "1"}',
        b'{"now": true}',
        b'{"now": NaN}',
        b'{"now": -1}',
        b'{"now": 1e15}',
        b"<html>",
    ],
)
def test_what_is_no_time_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRecordError, match="ClockReading"):
        read_now(content)


def test_a_clock_tells_whole_seconds_or_parts_of_them() -> None:
    assert (read_now(b'{"now": 1795518509}'), read_now(b'{"now": 1.5, "newer": 1}')) == (1795518509, 1.5)


def test_a_month_later_a_client_counts_in_another_period(follower: Flux, sandbox: RunningSandbox) -> None:
    before = period_start(follower)

    sandbox.advance(32 * DAY)

    wait_until(lambda: period_start(follower) > before, "the next month begins")


def test_a_new_client_goes_by_the_clock_from_its_first_answer(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_CLOCK_URL", f"{sandbox.url}/_sandbox/clock")
    sandbox.advance(400 * DAY)

    with client(tmp_path, NOBODY, clock=WallClock(), start=False) as late:
        assert late.billing.get_usage("acme", "calls").period_end > sandbox.now()


def test_a_forked_worker_follows_the_clock_too(follower: Flux, sandbox: RunningSandbox) -> None:
    def wait_for_next_month(say: Callable[[object], None]) -> None:
        say("ready")
        wait_until(lambda: period_start(follower) > before, "the next month begins")
        say("turned")

    before = period_start(follower)
    with forked(wait_for_next_month) as child:
        assert child.line() == "ready"
        sandbox.advance(32 * DAY)

        assert child.line() == "turned"


def test_a_clock_that_dies_leaves_the_time_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running_sandbox() as sandbox:
        monkeypatch.setenv("FLUX_CLOCK_URL", f"{sandbox.url}/_sandbox/clock")
        sandbox.advance(400 * DAY)
        ahead = sandbox.now()
        running = Flux(KEY, url=NOBODY, directory=tmp_path)
    wait_until(lambda: "cannot be reached" in caplog.text, "its end is noticed")
    logged = [record.getMessage() for record in caplog.records if "CLOCK" in record.getMessage()]

    assert running.billing.get_usage("acme", "calls").period_end > ahead
    running.shutdown(0)
    assert len(logged) == 1
    assert "the time goes on from where it is" in logged[0]


def test_a_clock_that_starts_anew_cannot_turn_the_time_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([b'{"now": %d}' % (NOON + 40 * DAY), *[b'{"now": %d}' % NOON] * 50])
    with run_raw_server(lambda connection: connection.send(response(200, next(answers)))) as raw:
        monkeypatch.setenv("FLUX_CLOCK_URL", raw.url)
        with client(tmp_path, NOBODY) as running:
            wait_until(lambda: "went back" in caplog.text, "it is said")

            assert running.billing.get_usage("acme", "calls").period_end > NOON + 40 * DAY


def test_what_is_no_clock_is_named_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with run_raw_server(response(404)) as raw:
        monkeypatch.setenv("FLUX_CLOCK_URL", raw.url)
        with client(tmp_path, NOBODY, start=False) as running:
            assert running.status().problem == caplog.records[0].getMessage().partition(";")[0]

    assert f"FLUX_CLOCK_URL: {raw.url} does not answer as a clock does" in caplog.text
    assert b"Bearer" not in raw.requests[0]


def test_a_live_key_refuses_a_time_that_can_be_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_CLOCK_URL", "http://127.0.0.1:8420/_sandbox/clock")

    with pytest.raises(ConfigurationError, match=r"environment live, .* in real time; unset FLUX_CLOCK_URL"):
        Flux("flux_live_0123456789", directory=tmp_path)


def test_a_clock_that_is_no_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_CLOCK_URL", "tomorrow")

    with pytest.raises(ConfigurationError, match=r"FLUX_CLOCK_URL is the http\(s\) address of a clock"):
        Flux(KEY, directory=tmp_path)


def test_without_a_followed_clock_checks_ask_the_clock_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    with client(tmp_path, NOBODY, clock=clock, start=False) as running:
        assert running.billing._clock is clock
        assert "flux-clock" not in [thread.name for thread in threading.enumerate()]


def test_the_age_of_what_is_known_is_measured_in_real_time(
    shop: Shop, sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("FLUX_CLOCK_URL", f"{sandbox.url}/_sandbox/clock")
    with client(tmp_path, shop.url, shop.key, clock) as running:
        assert running.wait_until_ready()

        assert running.billing.get_usage("acme", "calls").period_end > NOON + 300 * DAY
        assert running.status().age == 0
