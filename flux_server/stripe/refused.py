"""Webhooks that were refused: noted in memory, and written down with the link once in a while.

Anybody who knows the address can send what will be refused, so a request must not cost a write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import update

from flux_server.database import Database
from flux_server.stripe.tables import stripe_links

__all__ = ["Refused", "RefusedWebhooks", "write_refusals"]


@dataclass(frozen=True, slots=True)
class Refused:
    """How many were refused, when the last was, and why."""

    count: int
    at: int
    reason: str


class RefusedWebhooks:
    """Those of each environment that are not written down yet."""

    def __init__(self) -> None:
        self._of: dict[str, Refused] = {}

    def note(self, environment: str, reason: str, now: float) -> None:
        """Note one."""
        before = self._of.get(environment)
        self._of[environment] = Refused(before.count + 1 if before else 1, int(now), reason)

    def take(self) -> dict[str, Refused]:
        """Return all, and forget them."""
        taken, self._of = self._of, {}
        return taken

    def give_back(self, taken: dict[str, Refused]) -> None:
        """Note them again: they could not be written."""
        for environment, refused in taken.items():
            later = self._of.get(environment)
            self._of[environment] = replace(later, count=later.count + refused.count) if later else refused


async def write_refusals(database: Database, noted: RefusedWebhooks) -> bool:
    """Write down with each link what was refused since the last time; there is never more to do at once."""
    taken = noted.take()
    if taken:
        try:
            async with database.write() as connection:
                for environment, refused in sorted(taken.items()):
                    await connection.execute(
                        update(stripe_links)
                        .where(stripe_links.c.environment == environment)
                        .values(
                            refused=stripe_links.c.refused + refused.count,
                            refused_at=refused.at,
                            refused_reason=refused.reason[:500],
                        )
                    )
        except BaseException:
            noted.give_back(taken)
            raise
    return False
