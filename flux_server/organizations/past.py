"""What an organization was entitled to at a past moment, and everything that changed it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.entitlements import Entitlements, resolve
from flux_middleware.snapshot import Catalog, OrganizationRecord, decode
from flux_server.catalog.past import read_catalog_at
from flux_server.catalog.reading import read_catalog
from flux_server.environments.history import states_at
from flux_server.organizations.records import read_record

__all__ = ["Standing", "read_standing_at", "read_standing_now"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides an organization's entitlements at a moment, and these."""

    moment: float
    catalog: Catalog
    record: OrganizationRecord

    @property
    def entitlements(self) -> Entitlements:
        """Return what the organization was entitled to at the moment, as its workers answered."""
        return resolve(self.catalog, self.record, self.moment)


async def read_standing_now(
    connection: AsyncConnection, environment: str, organization: str, now: float
) -> Standing:
    """Return how the organization stands."""
    return Standing(
        now,
        await read_catalog(connection, environment),
        await read_record(connection, environment, organization),
    )


async def read_standing_at(
    connection: AsyncConnection, environment: str, organization: str, moment: float
) -> Standing:
    """Return how the organization stood at `moment` (epoch seconds), whatever changed since.

    Before anything was known of it, it stood as one without subscriptions.
    """
    states = await states_at(connection, environment, ("record",), moment, subject=organization)
    state = states.get(("record", organization))
    return Standing(
        moment,
        await read_catalog_at(connection, environment, moment),
        OrganizationRecord(organization) if state is None else decode(state, OrganizationRecord),
    )
