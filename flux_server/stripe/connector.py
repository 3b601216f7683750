"""What every part of the connector works with: the database, the clock, Stripe's clients, the box of secrets."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sqlalchemy import select

from flux_server.database import Database
from flux_server.errors import NotFoundError
from flux_server.gathering import Gathering
from flux_server.settings import Settings
from flux_server.stripe.arrivals import find_receivers, store_arrivals
from flux_server.stripe.budgets import AT_REST, hold_back, reserve
from flux_server.stripe.client import StripeApi, StripeClients
from flux_server.stripe.errors import TemporaryError
from flux_server.stripe.refusals import Refusals
from flux_server.stripe.refused import RefusedWebhooks
from flux_server.stripe.secrets import SecretBox
from flux_server.stripe.tables import stripe_links

__all__ = ["Connector", "NotLinkedError"]

_APART = 0.9 * AT_REST / 1000
_log = structlog.get_logger("flux.stripe")


class NotLinkedError(NotFoundError):
    """The environment has no link to Stripe."""

    code = "stripe_not_linked"
    title = "Not linked to Stripe"

    def __init__(self, environment: str) -> None:
        super().__init__(
            f"environment {environment!r} is not linked to Stripe; PUT /v1/stripe/link with an API key links it"
        )


class Connector:
    """Holds what routes and jobs share. Close it when done.

    `settings` must have the secret key (`settings.prepare`). `chance` spreads retries: a number from 0 to 1.
    `wall` tells the time that Stripe signs with, where `clock` may be a turned one. `pace` and `sleep` space the calls
    out, which Stripe counts in real time. `on_drift` hears of objects that were found to be other than Flux believed;
    `count_webhook` of each webhook: its environment, and what came of it (received, duplicate, refused).
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], float],
        *,
        chance: Callable[[], float] = random.random,
        count_webhook: Callable[[str, str], None] = lambda _environment, _outcome: None,
        wall: Callable[[], float] | None = None,
        pace: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_drift: Callable[[str, int], None] = lambda environment, count: None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.clock = clock
        self.wall = wall or clock
        self.chance = chance
        self.pace = pace
        self.sleep = sleep
        self.on_drift = on_drift
        self.count_webhook = count_webhook
        self.refused = RefusedWebhooks()
        self.clients = StripeClients(settings.stripe_api_base)
        self.box = SecretBox(settings.secret_key.get_secret_value())
        # Webhooks that come together are looked up together, and stored in one transaction.
        self.receivers = Gathering(partial(find_receivers, database, clock))
        self.arrivals = Gathering(partial(store_arrivals, database))
        self.refusals = Refusals()
        self._silent: set[str] = set()
        self._last_calls: dict[tuple[str, str], float] = {}

    async def api(self, environment: str) -> StripeApi:
        """Return the calls that the environment's link may make."""
        async with self.database.read() as connection:
            key = select(stripe_links.c.api_key).where(stripe_links.c.environment == environment)
            sealed = (await connection.execute(key)).scalar_one_or_none()
        if sealed is None:
            raise NotLinkedError(environment)
        opened = self.box.open(sealed, environment=environment, column="api_key")
        return self.clients.api(opened, partial(self.turn, environment))

    async def turn(self, environment: str, endpoint: str, *, within: float = 10) -> None:
        """Wait until the endpoint may be asked once more.

        Raises:
            TemporaryError: that will not be within so many seconds.
        """
        async with self.database.write() as connection:
            turns = await reserve(connection, environment, endpoint, 1, pace=self.pace(), within=within)
        if not turns.count:
            seconds = turns.moment(0) - self.pace()
            raise TemporaryError("Stripe was asked too often lately", arrived=False, retry_after=seconds)
        await self.await_turn(environment, endpoint, turns.moment(0))

    async def await_turn(self, environment: str, endpoint: str, moment: float) -> None:
        """Wait for a turn that is reserved. After a delay of this process, its late calls do not all come at once."""
        last = self._last_calls
        key = (environment, endpoint)
        while (wait := max(moment, last.get(key, 0) + _APART) - self.pace()) > 0:
            await self.sleep(wait)
        last[key] = self.pace()

    async def hold_back(self, environment: str, endpoint: str, error: TemporaryError) -> None:
        """Have nobody ask the endpoint for a while, if the error says that there were too many calls."""
        if error.too_many:
            seconds = error.retry_after or 1 + self.chance()
            async with self.database.write() as connection:
                await hold_back(connection, environment, endpoint, seconds, pace=self.pace())

    def note_answer(self, environment: str, failure: TemporaryError | None) -> None:
        """Log when Stripe stops answering for an environment, and when it answers again; not each time."""
        if failure is not None and environment not in self._silent:
            self._silent.add(environment)
            _log.warning(
                "Stripe does not answer, everything will be tried again",
                environment=environment,
                reason=str(failure),
            )
        elif failure is None and environment in self._silent:
            self._silent.discard(environment)
            _log.info("Stripe answers again", environment=environment)

    def webhook_url(self, token: str) -> str:
        """Return the address that Stripe sends the link's events to."""
        return f"{self.settings.url}/v1/stripe/webhooks/{token}"

    async def close(self) -> None:
        """Close every connection to Stripe."""
        await self.clients.close()
