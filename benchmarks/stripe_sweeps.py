"""Sweeping many subscriptions at the sandbox, which notes when it was asked for what."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from flux_sandbox.api import Request
from flux_sandbox.app import ROUTES, create_app
from flux_server.database import Database
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector
from flux_server.stripe.linking import set_link
from flux_server.stripe.sweeping import sweep_due
from flux_server.stripe.sweeps import Sweep, read_sweep, start_sweep

__all__ = ["Sweeps", "measure_sweeps"]

_CHANGED: Final = 100


@dataclass(frozen=True)
class Sweeps:
    """What was measured."""

    first_s: float
    again_s: float
    peak_rps: float
    changed: int
    drift_after: int


class _Account:
    """A sandbox's account with many subscriptions, put there without a request each."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, str]] = []
        self.app = create_app(hold=self._note)
        self._routes = {(route.method, route.path): route for route in ROUTES}
        self.names: list[str] = []

    async def _note(self, request: Request) -> None:
        self.calls.append((time.monotonic(), _endpoint(request.path)))

    def call(self, method: str, path: str, target: str = "", **params: Any) -> Any:
        return self.app.state.sandbox.api.call(self._routes[method, path], params, target)

    def fill(self, count: int) -> None:
        product = self.call("POST", "/v1/products", name="Pro")["id"]
        recurring = {"interval": "month"}
        price = self.call(
            "POST", "/v1/prices", product=product, currency="eur", unit_amount=900, recurring=recurring
        )["id"]
        for number in range(count):
            customer = self.call("POST", "/v1/customers", metadata={"organization_id": f"org-{number}"})["id"]
            items = [{"price": price, "quantity": 1}]
            made = self.call("POST", "/v1/subscriptions", customer=customer, items=items)
            self.names.append(made["id"])

    def change(self, count: int) -> None:
        """Change some subscriptions; nobody hears of it."""
        for place, name in enumerate(random.Random(19).sample(self.names, count)):
            if place % 2:
                self.call("DELETE", "/v1/subscriptions/{id}", name)
            else:
                self.call("POST", "/v1/subscriptions/{id}", name, cancel_at_period_end=True)

    def peak(self) -> int:
        """Return the most calls to one endpoint within any second."""
        most = 0
        for endpoint in Counter(name for _, name in self.calls):
            moments = [moment for moment, name in self.calls if name == endpoint]
            most = max(most, *(sum(start <= each < start + 1 for each in moments) for start in moments))
        return most


def measure_sweeps(database_url: str, count: int) -> Sweeps:
    """Sweep so many subscriptions: new ones, unchanged ones, and after changes that nobody told, twice."""
    account = _Account()
    account.fill(count)
    with _serving(account) as url:
        return asyncio.run(_measure(database_url, url, account))


async def _measure(database_url: str, url: str, account: _Account) -> Sweeps:
    settings = Settings.model_validate({"secret_key": "a benchmark's", "stripe_api_base": url})
    database = Database(database_url)
    connector = Connector(database, settings, time.time)
    try:
        start = time.perf_counter()
        await set_link(connector, "test", api_key="rk_test_benchmark", endpoint=False)
        while await sweep_due(connector):
            pass
        first = time.perf_counter() - start
        start = time.perf_counter()
        await _sweep(connector)
        again = time.perf_counter() - start
        account.change(_CHANGED)
        found = await _sweep(connector)
        if found.drifted != _CHANGED:
            raise RuntimeError(f"{found.drifted} of {_CHANGED} changes were found")
        after = await _sweep(connector)
        return Sweeps(first, again, account.peak(), _CHANGED, after.drifted)
    finally:
        await connector.close()
        await database.close()


async def _sweep(connector: Connector) -> Sweep:
    async with connector.database.write() as connection:
        started = await start_sweep(connection, "test", "asked", connector.clock())
    while await sweep_due(connector):
        pass
    async with connector.database.read() as connection:
        return await read_sweep(connection, "test", started.id)


@contextmanager
def _serving(account: _Account) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(account.app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def _endpoint(path: str) -> str:
    return path.split("/")[2]
