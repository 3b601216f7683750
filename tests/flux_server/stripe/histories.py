"""Random histories of subscriptions at the sandbox, told by webhooks in chaos, read by processes that are killed."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flux_sandbox.disorder import DeliveryPlan
from flux_sandbox.testing import StripeSandbox
from flux_server.database import Database
from flux_server.serving import bind
from flux_server.stripe.connector import Connector
from flux_server.stripe.link import require_link
from flux_server.stripe.linking import set_link
from flux_server.stripe.missed_events import MissedEvents
from flux_server.stripe.pacing import LEASE
from flux_server.stripe.tables import stripe_dirty, stripe_sweeps
from flux_server.stripe.webhooks import receive
from flux_server.subscriptions.tables import subscription_items, subscriptions
from tests.flux_server.stripe.syncer import hurried

__all__ = ["Histories", "receiving"]

_CHAOS: Final = DeliveryPlan(seed=13, drop=0.05, duplicate=0.2, reorder=0.5, delay=0.4, concurrent=4)
_AT_ONCE: Final = 100

State = tuple[str, tuple[tuple[str, int], ...], int | None]


class Histories:
    """An environment that follows a sandbox; `run` lets so many subscriptions live and says which are wrong then."""

    def __init__(self, database_url: str, sandbox: StripeSandbox, directory: Path, *, seed: int = 13) -> None:
        self._url = database_url
        self._sandbox = sandbox
        self._chance = random.Random(seed)
        self._ahead = directory / "ahead"
        self._ahead.write_text("0")
        self._stripe = sandbox.client().v1
        self._prices = self._sell()
        self.killed = 0

    async def run(self, count: int) -> list[str]:
        """Let so many subscriptions live; return the ids of those that Flux has wrong in the end."""
        database = Database(self._url)
        connector = hurried(database, self._sandbox.url, self._ahead)
        try:
            await set_link(connector, "test", api_key="rk_test_sandbox", endpoint=False)
            async with receiving(connector) as address:
                endpoint = self._sandbox.listen(address)
                await set_link(connector, "test", webhook_secret=endpoint.secret, endpoint=False)
                wrong = []
                for start in range(0, count, _AT_ONCE):
                    wrong += await self._some(connector, min(_AT_ONCE, count - start))
            return wrong
        finally:
            await connector.close()
            await database.close()

    async def _some(self, connector: Connector, count: int) -> list[str]:
        self._sandbox.disturb_deliveries(_CHAOS)
        done = threading.Event()
        with self._killed_workers(done):
            try:
                names = await asyncio.to_thread(self._live, count)
                await asyncio.to_thread(self._sandbox.wait_delivered, 60)
            finally:
                done.set()
        with self._workers():
            self._turn(LEASE + 1)  # those who were killed hold claims still
            while await MissedEvents(connector).run():
                pass
            await self._settled(connector)
        return await self._wrong(connector.database, names)

    def _live(self, count: int) -> list[str]:
        """Begin so many subscriptions, and change each a few times, all mixed up."""
        items = dict(self._begin() for _ in range(count))
        steps = [name for name in items for _ in range(self._chance.randint(1, 4))]
        self._chance.shuffle(steps)
        ended: set[str] = set()
        for name in steps:
            if name not in ended:
                self._step(name, items[name], ended)
        return list(items)

    def _begin(self) -> tuple[str, str]:
        """Begin a subscription; return its id and its item's."""
        organization = f"org-{self._chance.randrange(10**9)}"
        customer = self._stripe.customers.create({"metadata": {"organization_id": organization}}).id
        items = [{"price": self._prices[0], "quantity": 1}]
        made = self._stripe.subscriptions.create({"customer": customer, "items": items})
        return made.id, made["items"]["data"][0]["id"]

    def _step(self, name: str, item: str, ended: set[str]) -> None:
        kind = self._chance.choice(["quantity", "quantity", "price", "schedule", "cancel"])
        if kind == "cancel":
            ended.add(name)
            self._stripe.subscriptions.cancel(name)
        elif kind == "schedule":
            at_end = self._chance.random() < 0.5
            self._stripe.subscriptions.update(name, {"cancel_at_period_end": at_end})
        else:
            change: dict[str, Any] = (
                {"quantity": self._chance.randint(1, 9)}
                if kind == "quantity"
                else {"price": self._chance.choice(self._prices)}
            )
            self._stripe.subscriptions.update(name, {"items": [{"id": item, **change}]})

    def _sell(self) -> list[str]:
        product = self._stripe.products.create({"name": "Pro"}).id
        sold = {"product": product, "currency": "eur", "recurring": {"interval": "month"}}
        return [self._stripe.prices.create({**sold, "unit_amount": cents}).id for cents in (1000, 2000)]

    @contextmanager
    def _workers(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        workers = [self._start(), self._start()]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()

    @contextmanager
    def _killed_workers(self, done: threading.Event) -> Iterator[None]:
        """Run two workers, kill one of them now and then, and start another in its place."""
        with self._workers() as workers:

            def kill() -> None:
                while not done.wait(self._chance.uniform(1, 3)):
                    place = self._chance.randrange(2)
                    workers[place].kill()
                    workers[place].wait()
                    workers[place] = self._start()
                    self.killed += 1

            killer = threading.Thread(target=kill)
            killer.start()
            try:
                yield
            finally:
                done.set()
                killer.join()

    def _start(self) -> subprocess.Popen[bytes]:
        module = "tests.flux_server.stripe.syncer"
        command = [sys.executable, "-m", module, self._url, self._sandbox.url, str(self._ahead)]
        return subprocess.Popen(command)

    def _turn(self, seconds: float) -> None:
        fresh = self._ahead.with_suffix(".new")
        fresh.write_text(str(float(self._ahead.read_text()) + seconds))
        fresh.replace(self._ahead)

    async def _settled(self, connector: Connector, tries: int = 1_200) -> None:
        """Wait until the workers have read everything that is due."""
        for _ in range(tries):
            async with connector.database.read() as connection:
                due = stripe_dirty.c.not_before <= int(connector.clock())
                unfinished = stripe_sweeps.c.finished_at.is_(None)
                waiting = [
                    (
                        await connection.execute(select(func.count()).select_from(table).where(which))
                    ).scalar_one()
                    for table, which in ((stripe_dirty, due), (stripe_sweeps, unfinished))
                ]
            if not any(waiting):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"marks and sweeps are left: {waiting}")

    async def _wrong(self, database: Database, names: list[str]) -> list[str]:
        known = await _believed(database)
        true = await asyncio.to_thread(self._true)
        return [name for name in names if known.get(name) != true[name]]

    def _true(self) -> dict[str, State]:
        found = self._stripe.subscriptions.list({"status": "all", "limit": 100})
        return {each.id: _state(each.to_dict(for_json=True)) for each in found.auto_paging_iter()}


@asynccontextmanager
async def receiving(connector: Connector) -> AsyncIterator[str]:
    """Take in webhooks at this address, and do nothing else about them."""
    async with connector.database.read() as connection:
        token = (await require_link(connection, "test")).token

    async def application(scope: Scope, receive_: Receive, send: Send) -> None:
        request = Request(scope, receive_)
        await receive(connector, token, await request.body(), request.headers["Stripe-Signature"])
        await Response()(scope, receive_, send)

    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(application, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        await serving
        listener.close()


def _state(subscription: dict[str, Any]) -> State:
    items = sorted((item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"])
    return subscription["status"], tuple(items), subscription["ended_at"] or subscription["cancel_at"]


async def _believed(database: Database) -> dict[str, State]:
    async with database.read() as connection:
        rows = (await connection.execute(select(subscriptions))).all()
        items: dict[str, list[tuple[str, int]]] = {row.id: [] for row in rows}
        for item in await connection.execute(select(subscription_items)):
            items[item.subscription].append((item.price, item.quantity))
    return {row.id: (row.status, tuple(sorted(items[row.id])), row.ended_at or row.cancel_at) for row in rows}
