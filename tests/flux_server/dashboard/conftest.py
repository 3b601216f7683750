"""People who look at a running server's dashboard: one who is signed in, one who is not, and real browsers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.accounts.sessions import start_session
from flux_server.accounts.users import User, add_user
from tests.flux_server.accounts.conftest import CHEAP, PASSWORD
from tests.flux_server.dashboard.browsing import Person
from tests.flux_server.running import NOON, RunningServer
from tests.flux_server.stripe.conftest import running_double, stripe

__all__ = ["running_double", "stripe"]  # fixtures

ADA = "ada@example.com"

BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def make_user(server: RunningServer, email: str = ADA) -> User:
    """Add somebody with PASSWORD."""
    return server.write(lambda connection: add_user(connection, email, CHEAP.hash(PASSWORD), NOON))


def make_session(server: RunningServer, user: User) -> str:
    """Sign somebody in; return the session's token."""

    async def start(connection: AsyncConnection) -> str:
        _, token = await start_session(connection, user.id, browser="Firefox on Linux", now=server.clock())
        return token

    return server.write(start)


@pytest.fixture
def guest(server: RunningServer) -> Iterator[Person]:
    """Somebody who is not signed in."""
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=20) as client:
        yield Person(client)


@pytest.fixture
def sign_in(server: RunningServer) -> Iterator[Callable[[User], Person]]:
    """Signs somebody in, each time with a browser of its own."""
    with ExitStack() as clients:

        def sign_in(user: User) -> Person:
            client = httpx.Client(base_url=server.url, follow_redirects=True, timeout=20)
            client.cookies.set("flux_session", make_session(server, user), domain="127.0.0.1")
            return Person(clients.enter_context(client))

        yield sign_in


@pytest.fixture
def ada(server: RunningServer, sign_in: Callable[[User], Person]) -> Person:
    """The only user, signed in."""
    return sign_in(make_user(server))


# Not for the whole session: Playwright holds the event loop of this thread, which other tests need.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "these tests need Chromium: run scripts/system-packages, or install it"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=BROWSER_ARGUMENTS)
        yield running
        running.close()
