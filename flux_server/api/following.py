"""One follower's progress through an environment's changes: what it must be sent next, and in which order.

A change carries the present state of its subject, so a subject that changed several times is sent once, at its
last place. Event ids only ever say "everything up to here was sent": a follower that reconnects with one goes
on exactly there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import (
    CatalogChanged,
    Change,
    OrganizationChanged,
    OrganizationRecord,
    OrganizationRemoved,
    UsageUpdate,
)
from flux_server.catalog.reading import read_catalog
from flux_server.environments.revisions import (
    ChangedSubject,
    catalog_revision,
    changes_since,
    current_revision,
    oldest_revision,
)
from flux_server.organizations.records import read_records
from flux_server.usage.reading import standings_of, standings_since

__all__ = ["Batch", "Follower", "Sent"]

_CHANGES = 500
_STANDINGS = 1_000


@dataclass(frozen=True, slots=True)
class Sent:
    """One event for the follower; `id` is the revision up to which it then has everything."""

    value: Change | UsageUpdate
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to send in this order; `more` says that there are others already."""

    sent: list[Sent]
    more: bool


class Follower:
    """Where a follower stands in the logs of one environment."""

    def __init__(self, environment: str, revision: int, usage_revision: int) -> None:
        self.environment = environment
        self.revision = revision
        self.usage_revision = usage_revision
        self._catalog_revision = revision

    async def is_in_reach(self, connection: AsyncConnection) -> bool:
        """Say whether the log still leads from where the follower stands to the present."""
        oldest = await oldest_revision(connection, self.environment)
        return oldest <= self.revision <= await current_revision(connection, self.environment)

    async def advance(self, connection: AsyncConnection, now: float) -> Batch:
        """Return the next events, and go on behind them; none if the follower has everything.

        Every value is read in the transaction of `connection`, so they fit each other.
        """
        changed = await changes_since(connection, self.environment, self.revision, _CHANGES)
        sent = await self._changes(connection, changed, now) if changed else []
        usage = await standings_since(connection, self.environment, self.usage_revision, now, _STANDINGS)
        if usage is not None:
            self.usage_revision = usage.usage_revision
            sent.append(Sent(usage))
        more = len(changed) == _CHANGES or (usage is not None and len(usage.standings) >= _STANDINGS)
        return Batch(sent, more)

    async def _changes(
        self, connection: AsyncConnection, changed: tuple[ChangedSubject, ...], now: float
    ) -> list[Sent]:
        last_change = {c.organization: c.revision for c in changed if c.organization is not None}
        sent = await self._moved_standings(connection, last_change, now)
        # Records may name plan versions of a catalog that only comes later in the log, so it goes first.
        catalog_at = await catalog_revision(connection, self.environment)
        catalog_moved = catalog_at > self._catalog_revision
        if catalog_moved and last_change:
            sent.append(await self._catalog(connection, None))
        records = await read_records(connection, self.environment, last_change)
        sent += _record_changes(records, last_change, changed[-1].revision)
        if not last_change:
            sent.append(await self._catalog(connection, changed[-1].revision))
        self.revision, self._catalog_revision = changed[-1].revision, max(catalog_at, self._catalog_revision)
        return sent

    async def _catalog(self, connection: AsyncConnection, revision: int | None) -> Sent:
        catalog = await read_catalog(connection, self.environment)
        return Sent(CatalogChanged(self.revision if revision is None else revision, catalog), revision)

    async def _moved_standings(
        self, connection: AsyncConnection, organizations: dict[str, int], now: float
    ) -> list[Sent]:
        """A changed record may have moved the period that usage counts in.

        Goes before the records: a follower that is cut off between the two asks for both again.
        """
        standings = await standings_of(connection, self.environment, organizations, now)
        return [Sent(UsageUpdate(self.usage_revision, standings))] if standings else []


def _record_changes(
    records: dict[str, OrganizationRecord], last_change: dict[str, int], end: int
) -> Iterator[Sent]:
    in_order = sorted(last_change.items(), key=lambda change: change[1])
    for place, (organization, revision) in enumerate(in_order, start=1):
        upto = end if place == len(in_order) else revision
        record = records.get(organization)
        if record is None:
            yield Sent(OrganizationRemoved(upto, organization), upto)
        else:
            yield Sent(OrganizationChanged(upto, record), upto)
