"""A server whose time a sandbox turns: what follows it, what stays with the wall, and what is refused beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from flux_middleware.clock import FollowedClock
from flux_server.app import create_app
from flux_server.cli import app
from flux_server.clock import Timekeeper
from flux_server.errors import StartError
from flux_server.settings import Settings
from flux_server.stripe.tables import stripe_links
from tests.flux_middleware.servers import response, run_raw_server
from tests.flux_sandbox.running import RunningSandbox, running_sandbox, wait_until
from tests.flux_server.running import NOON, FakeClock, RunningServer, run_server
from tests.flux_server.test_cli import runner as runner
from tests.flux_server.test_cli import words

DAY = 86_400
LIVE_LINK = {
    "environment": "live",
    "token": "t",
    "account": "acct_1",
    "livemode": True,
    "api_key": b"",
    "api_key_shown": "rk_live_…abcd",
    "status": "active",
    "metadata_key": "organization_id",
    "created_at": NOON,
}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def turned(sandbox: RunningSandbox, settings: Settings, wall: FakeClock) -> Iterator[RunningServer]:
    """A server on a standing wall clock that follows the sandbox's, which was turned."""
    sandbox.advance(400 * DAY)
    with run_server(following(settings, f"{sandbox.url}/_sandbox/clock"), wall) as running:
        yield running


@pytest.fixture
def wall() -> FakeClock:
    return FakeClock()


def following(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"clock_url": url})


def link_live(server: RunningServer) -> None:
    """Link the environment live, as an operator did in earnest."""
    server.write(lambda connection: connection.execute(insert(stripe_links).values(LIVE_LINK)))


def period_start(server: RunningServer) -> int:
    with server.client() as client:
        client.put("/v1/metrics/calls", json={"name": "Calls"}).raise_for_status()
        client.put("/v1/organizations/acme", json={}).raise_for_status()
        answer = client.get("/v1/organizations/acme/usage", params={"metric": "calls"})
        return int(answer.raise_for_status().json()["period_start"])


def test_a_server_goes_by_the_clock_before_its_first_answer(
    turned: RunningServer, sandbox: RunningSandbox
) -> None:
    assert period_start(turned) > sandbox.now() - 32 * DAY


def test_a_server_notices_that_the_clock_was_turned(turned: RunningServer, sandbox: RunningSandbox) -> None:
    later = sandbox.advance(32 * DAY)

    wait_until(lambda: turned.app.state.clock() >= later - 1)

    assert period_start(turned) > later - 32 * DAY


def test_sessions_and_invitations_stay_with_the_wall(turned: RunningServer) -> None:
    site = turned.app.state.dashboard.state.site

    assert (site.wall(), site.connector.wall()) == (NOON, NOON)
    assert site.clock() == site.connector.clock() > NOON + 300 * DAY


async def test_a_clock_that_dies_is_named_once_and_the_time_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wall = FakeClock()
    clock = FollowedClock(wall)
    with running_sandbox(clock=lambda: NOON + 30 * DAY) as sandbox:
        timekeeper = Timekeeper(f"{sandbox.url}/_sandbox/clock", clock)
        await timekeeper.run()
    wall.now += 5
    for _ in range(3):
        await timekeeper.run()
    await timekeeper.close()

    assert clock() == NOON + 30 * DAY + 5
    assert capsys.readouterr().out.count("the clock is not followed") == 1


async def test_a_clock_that_is_back_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    bodies = [(503, b""), (200, b"{}"), (200, b'{"now": 1}'), (200, b'{"now": 9e9}')]
    answers = (response(status, body, "Connection: close") for status, body in bodies)
    with run_raw_server(lambda connection: connection.send(next(answers))) as raw:
        timekeeper = Timekeeper(raw.url, FollowedClock(FakeClock()), timeout=30)
        for _ in range(4):
            await timekeeper.run()
        await timekeeper.close()

    *wrong, well = capsys.readouterr().out.splitlines()
    assert all(map(str.__contains__, wrong, ("503", "ClockReading", "it went back")))
    assert len(wrong) == 3
    assert "the clock is followed again" in well


def test_beside_a_live_link_and_a_clock_only_the_server_refuses_to_start(
    settings: Settings, runner: CliRunner
) -> None:
    with run_server(settings) as server:
        link_live(server)
    env = {"FLUX_DATA_DIR": str(settings.data_dir), "FLUX_CLOCK_URL": "http://127.0.0.1:9/"}

    refused = words(runner.invoke(app, ["serve", "--port", "0"], env=env))
    made = runner.invoke(app, ["keys", "create", "--name", "a test's"], env=env)

    assert "FLUX_CLOCK_URL turns the time, and environment 'live' is linked to a live Stripe" in refused
    assert made.stdout.startswith("flux_test_")


async def test_the_application_itself_refuses_so_too(settings: Settings) -> None:
    with run_server(settings) as server:
        link_live(server)
    refusing = create_app(following(settings, "http://127.0.0.1:9/"))

    with pytest.raises(StartError, match="unset FLUX_CLOCK_URL"):
        async with refusing.router.lifespan_context(refusing):
            pass


def test_a_live_account_is_not_linked_to_a_server_whose_time_is_turned(turned: RunningServer) -> None:
    with turned.client("admin", "live") as client:
        refused = client.put("/v1/stripe/link", json={"api_key": "rk_live_abcdefgh"})

    assert (refused.status_code, refused.json()["code"]) == (422, "stripe_link_refused")
    assert "start it without" in refused.json()["detail"]
