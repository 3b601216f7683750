"""A linked environment, on each kind of database, with a Stripe to answer it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flux_middleware.entitlements import resolve
from flux_middleware.snapshot import Feature, Grant, Metric, UsageBatch, UsageSlot
from flux_server.catalog.features import save_feature, save_metric
from flux_server.catalog.plans import PlanDraft, save_plan
from flux_server.catalog.publishing import publish_plan
from flux_server.catalog.reading import PlanPrice, read_catalog
from flux_server.database import Database
from flux_server.organizations.catalog_changes import apply_prices
from flux_server.organizations.records import read_record
from flux_server.settings import Settings
from flux_server.stripe.connector import Connector
from flux_server.stripe.dirty import mark
from flux_server.stripe.events import ObjectRef
from flux_server.stripe.linking import set_link
from flux_server.stripe.sweeping import sweep_due
from flux_server.stripe.sync import sync_due
from flux_server.usage.ingest import ingest
from tests.flux_server.running import FakeClock
from tests.flux_server.stripe.double import StripeDouble, run_double

KEY = "rk_test_4eC39HqLyjWDarjtT1zdp7dc"
SECRET = "whsec_testtesttesttest"


class WallClock(FakeClock):
    """The time, for tests in which others sign with it."""

    def __call__(self) -> float:
        return time.time()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Wait for something that happens in another thread or process."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        pause.wait(0.02)


class Pace:
    """Real time, but for the waits for a turn to call Stripe: these are skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        return time.time() + self._skipped

    async def sleep(self, seconds: float) -> None:
        self._skipped += seconds
        await asyncio.sleep(0)


class World:
    """One environment, `test`, linked to the double; what tests do to it and see of it."""

    def __init__(self, connector: Connector, stripe: StripeDouble, clock: FakeClock) -> None:
        self.connector = connector
        self.database = connector.database
        self.stripe = stripe
        self.clock = clock

    async def link(self) -> None:
        await set_link(self.connector, "test", api_key=KEY, webhook_secret=SECRET)
        await self.sync()

    async def sell(self, price: str = "price_pro", metric: str | None = None) -> None:
        """Define the feature sso and the metric calls, and publish plan pro, sold by the price."""
        async with self.database.write() as connection:
            now = self.clock()
            await save_feature(connection, "test", Feature("sso", "boolean"), now)
            await save_metric(connection, "test", Metric("calls"), now)
            prices = (PlanPrice(price), *([PlanPrice("price_calls", metric)] if metric else []))
            draft = PlanDraft("pro", "Pro", "base", prices, (Grant("sso", True),))
            await save_plan(connection, "test", draft, now)
            await publish_plan(connection, "test", "pro", existing="stay", now=now)
            await apply_prices(connection, "test", now)

    async def mark(self, *objects: tuple[str, str]) -> None:
        async with self.database.write() as connection:
            await mark(connection, "test", (ObjectRef(*each) for each in objects), self.clock())

    async def sync(self) -> None:
        """Read everything that is due, until nothing is."""
        while await sync_due(self.connector) or await sweep_due(self.connector):
            pass

    async def is_entitled(self, organization: str, feature: str = "sso") -> bool:
        async with self.database.read() as connection:
            catalog = await read_catalog(connection, "test")
            record = await read_record(connection, "test", organization)
        entitlement = resolve(catalog, record, self.clock()).by_feature.get(feature)
        return entitlement is not None and entitlement.value is True

    async def use(
        self, total: int, *, bucket: int, organization: str = "org-1", source: str = "worker"
    ) -> None:
        """Have a worker report what it counted in the bucket so far."""
        batch = UsageBatch(source, (UsageSlot(organization, "calls", bucket, total),))
        async with self.database.write() as connection:
            receipt = await ingest(connection, "test", batch, self.clock())
        assert receipt.errors == ()


async def subscribe_metered(
    world: World,
    number: int = 1,
    *,
    meter: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
    **fields: Any,
) -> None:
    """Subscribe customer cus_N, which is organization org-N, to plan pro with an item metered by mtr_1."""
    world.stripe.put_meter(**(meter or {}))
    named = {"organization_id": f"org-{number}"} if metadata is None else metadata
    world.stripe.put_customer(f"cus_{number}", metadata=named)
    items = [
        {"id": f"si_seat_{number}", "price": {"id": "price_pro"}},
        {
            "id": f"si_calls_{number}",
            "price": {"id": "price_calls", "recurring": {"usage_type": "metered", "meter": "mtr_1"}},
        },
    ]
    plain = {"customer": f"cus_{number}", "items": {"object": "list", "data": items, "has_more": False}}
    world.stripe.put_subscription(f"sub_{number}", **plain | fields)
    await world.mark(("subscription", f"sub_{number}"))
    await world.sync()


@pytest.fixture(scope="session")
def running_double() -> Iterator[StripeDouble]:
    with run_double() as double:
        yield double


@pytest.fixture
def stripe(running_double: StripeDouble) -> StripeDouble:
    """The double, as new."""
    url = running_double.url
    running_double.__init__()  # type: ignore[misc]  # a fresh state behind the same socket
    running_double.url = url
    return running_double


@pytest.fixture
async def connector(
    database: Database, stripe: StripeDouble, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Connector]:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "secret_key": "a test's", "stripe_api_base": stripe.url}
    )
    pace = Pace()
    connector = Connector(database, settings, clock, chance=lambda: 1.0, pace=pace, sleep=pace.sleep)
    yield connector
    await connector.close()


@pytest.fixture
async def unlinked(connector: Connector, stripe: StripeDouble, clock: FakeClock) -> World:
    return World(connector, stripe, clock)


@pytest.fixture
async def world(unlinked: World) -> World:
    """A linked environment that sells plan pro by price_pro, metered by price_calls."""
    await unlinked.link()
    await unlinked.sell(metric="calls")
    return unlinked
