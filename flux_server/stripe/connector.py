"""What every part of the connector works with: the database, the clock, Stripe's clients, the box of secrets."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import structlog
from sqlalchemy import select

from flux_server.database import Database
from flux_server.errors import NotFoundError
from flux_server.gathering import Gathering
from flux_server.settings import Settings
from flux_server.stripe.arrivals import find_receivers, store_arrivals
from flux_server.stripe.client import StripeApi, StripeClients
from flux_server.stripe.errors import TemporaryError
from flux_server.stripe.refusals import Refusals
from flux_server.stripe.refused import RefusedWebhooks
from flux_server.stripe.secrets import SecretBox
from flux_server.stripe.tables import stripe_links

__all__ = ["Connector", "NotLinkedError"]

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
    `count_webhook` is told of each webhook: its environment, and what came of it (received, duplicate, refused).
    `wall` tells the time that Stripe signs with, where `clock` may be a turned one.
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
    ) -> None:
        self.database = database
        self.settings = settings
        self.clock = clock
        self.wall = wall or clock
        self.chance = chance
        self.count_webhook = count_webhook
        self.refused = RefusedWebhooks()
        self.clients = StripeClients(settings.stripe_api_base)
        self.box = SecretBox(settings.secret_key.get_secret_value())
        # Webhooks that come together are looked up together, and stored in one transaction.
        self.receivers = Gathering(partial(find_receivers, database, clock))
        self.arrivals = Gathering(partial(store_arrivals, database))
        self.refusals = Refusals()
        self._silent: set[str] = set()

    async def api(self, environment: str) -> StripeApi:
        """Return the calls that the environment's link may make."""
        async with self.database.read() as connection:
            key = select(stripe_links.c.api_key).where(stripe_links.c.environment == environment)
            sealed = (await connection.execute(key)).scalar_one_or_none()
        if sealed is None:
            raise NotLinkedError(environment)
        return self.clients.api(self.box.open(sealed, environment=environment, column="api_key"))

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
