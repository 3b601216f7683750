"""The server as its operator uses it: it sells, it grants, it can be stopped, started and put back."""

from __future__ import annotations

import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from flux_server.settings import Settings
from tests.flux_server.running import FakeClock, RunningServer, run_server

__all__ = ["Keys", "Shop", "WallClock", "open_shop"]

_TLS = (
    ssl.create_default_context()
)  # reading certificates anew for each client would be most of a test's time


class WallClock(FakeClock):
    """The time."""

    def __call__(self) -> float:
        return time.time()


@dataclass(frozen=True)
class Keys:
    """API keys of the environment `test`."""

    admin: str
    sdk: str


def open_shop(settings: Settings, clock: FakeClock) -> Keys:
    """Put what every shop sells into a new database."""
    with run_server(settings, clock) as server:
        keys = Keys(server.make_key("admin"), server.make_key("sdk"))
        shop = Shop(settings, clock, keys)
        shop.server = server
        with shop.client(keys.admin) as shop.admin:
            shop.put("features/sso", kind="boolean")
            shop.put("features/audit-logs", kind="boolean")
            shop.put("features/seats", kind="limit")
            shop.put("metrics/calls")
            shop.put("organizations/acme", name="Acme")
    return keys


class Shop:
    """A server on SQLite whose environment `test` has sso, seats and calls; acme is a customer."""

    server: RunningServer
    admin: httpx.Client

    def __init__(self, settings: Settings, clock: FakeClock, keys: Keys) -> None:
        self.settings = settings
        self.clock = clock
        self.key = keys.sdk
        self._keys = keys
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, or start it again: on another port, as one could not be sure to get the same."""
        self.server = self._running.enter_context(run_server(self.settings, self.clock))
        self.admin = self._running.enter_context(self.client(self._keys.admin))

    def stop(self) -> None:
        """Stop the server, if it runs."""
        self._running.close()

    def client(self, key: str) -> httpx.Client:
        """Return an HTTP client that sends the key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=_TLS)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def revision(self) -> int:
        """The environment's newest revision."""
        with self.client(self.key) as client:
            return int(client.get("/v1/environment").raise_for_status().json()["revision"])

    def put(self, path: str, **body: Any) -> None:
        """Save something under its name."""
        self.admin.put(f"/v1/{path}", json=body).raise_for_status()

    def grant(self, organization: str = "acme", feature: str = "sso", value: object = True) -> str:
        """Make an exception; return what to end it with."""
        self.put(f"organizations/{organization}")
        body = {"feature": feature, "effect": "set", "value": value}
        answer = self.admin.post(f"/v1/organizations/{organization}/overrides", json=body)
        return str(answer.raise_for_status().json()["id"])

    def end(self, override: str, organization: str = "acme") -> None:
        """End an exception."""
        self.admin.delete(f"/v1/organizations/{organization}/overrides/{override}").raise_for_status()

    def used(self, organization: str = "acme", metric: str = "calls") -> int:
        """Return what the organization used in its current period."""
        answer = self.admin.get(f"/v1/organizations/{organization}/usage", params={"metric": metric})
        return int(answer.raise_for_status().json()["quantity"])
