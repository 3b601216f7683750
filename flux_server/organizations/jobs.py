"""What runs for organizations: giving them what they already pay for, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flux_server.database import Database
from flux_server.environments.environments import list_environments
from flux_server.jobs.runner import Job
from flux_server.organizations.catalog_changes import PRICES_TOPIC, apply_prices

__all__ = ["organization_jobs"]

_LOOK_AGAIN = 60.0  # for what another process left, and was stopped


def organization_jobs(database: Database, clock: Callable[[], float]) -> list[Job]:
    """Return the jobs that every server runs."""
    return [Job("match-prices", (PRICES_TOPIC,), _LOOK_AGAIN, _MatchPrices(database, clock).run)]


@dataclass(frozen=True)
class _MatchPrices:
    database: Database
    clock: Callable[[], float]

    async def run(self) -> bool:
        async with self.database.read() as connection:
            environments = await list_environments(connection)
        more = False
        for environment in environments:
            async with self.database.write() as connection:
                more |= await apply_prices(connection, environment.key, self.clock())
        return more
