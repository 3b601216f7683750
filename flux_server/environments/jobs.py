"""What runs for every environment: hearing of other processes' changes, and forgetting old ones and old answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flux_server.database import Database
from flux_server.environments.api_keys import API_KEYS_TOPIC, count_revoked
from flux_server.environments.environments import list_environments
from flux_server.environments.kept_answers import prune_answers
from flux_server.environments.revisions import all_revisions, prune_changes
from flux_server.jobs.runner import Job

__all__ = ["Watch", "environment_jobs"]

_LOOK_AGAIN = 1.0
_PRUNE_INTERVAL = 600.0
_KEPT_CHANGES = 100_000


def environment_jobs(database: Database, watch: Watch, clock: Callable[[], float]) -> list[Job]:
    """Return the jobs that every server runs."""
    return [
        Job("watch", topics=(), interval=_LOOK_AGAIN, run=watch.run),
        Job("prune", topics=(), interval=_PRUNE_INTERVAL, run=_Prune(database, clock).run),
    ]


@dataclass
class Watch:
    """Rings for what another process committed: one small read for all the streams of this one."""

    database: Database
    seen: dict[str, int] = field(default_factory=dict)

    def newest(self, environment: str) -> int:
        """Return the newest revision that was seen of the environment; 0 if none was yet."""
        return self.seen.get(f"changes:{environment}", 0)

    async def run(self) -> bool:
        """Look once."""
        async with self.database.read() as connection:
            revisions = await all_revisions(connection)
            present = {f"{log}:{environment}": value for (environment, log), value in revisions.items()}
            present[API_KEYS_TOPIC] = await count_revoked(connection)
        for topic, value in present.items():
            if self.seen.get(topic) != value:
                self.database.bell.ring(topic)
        self.seen = present
        return False


@dataclass(frozen=True)
class _Prune:
    database: Database
    clock: Callable[[], float]

    async def run(self) -> bool:
        async with self.database.write() as connection:
            for environment in await list_environments(connection):
                await prune_changes(connection, environment.key, keep=_KEPT_CHANGES)
            return await prune_answers(connection, self.clock())
