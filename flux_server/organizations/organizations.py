"""Organizations: the application's customers, under ids that the application chose."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import OrganizationRecord, encode, require_organization
from flux_server.database import insert
from flux_server.environments.history import note
from flux_server.environments.revisions import lock
from flux_server.errors import NotFoundError
from flux_server.organizations.tables import organizations

__all__ = [
    "Organization",
    "count_organizations",
    "ensure_organization",
    "list_organizations",
    "read_organization",
]


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization that the server has heard of."""

    id: str
    name: str
    created_at: int


async def ensure_organization(
    connection: AsyncConnection, environment: str, organization: str, *, name: str = "", now: float
) -> Organization:
    """Make the organization if it is new; give it the name, unless that is empty; return it.

    Followers treat an organization they never heard of like one without subscriptions, so this changes nothing
    for them.
    """
    require_organization(organization)
    await lock(connection, environment)
    made = await connection.execute(
        insert(connection, organizations)
        .values(
            environment=environment,
            id=organization,
            name=name[:255],
            created_at=int(now),
            record=encode(OrganizationRecord(organization)),
        )
        .on_conflict_do_nothing()
    )
    present = await read_organization(connection, environment, organization)
    if name and present.name != name[:255]:
        mine = (organizations.c.environment == environment) & (organizations.c.id == organization)
        await connection.execute(update(organizations).where(mine).values(name=name[:255]))
        present = replace(present, name=name[:255])
    elif not made.rowcount:
        return present
    await note(connection, environment, "organization", organization, {"name": present.name}, now)
    return present


async def read_organization(connection: AsyncConnection, environment: str, organization: str) -> Organization:
    """Return the organization.

    Raises:
        NotFoundError: the server has not heard of it.
    """
    query = _columns.where(organizations.c.environment == environment, organizations.c.id == organization)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no organization {organization!r:.300}; PUT /v1/organizations/{{id}} makes it, or its first "
            "subscription does"
        )
    return _organization(row)


async def list_organizations(
    connection: AsyncConnection, environment: str, *, query: str = "", after: str = "", limit: int = 50
) -> tuple[Organization, ...]:
    """Return organizations whose id or name contains `query`, in the order of their ids, those after `after`."""
    statement = _columns.where(organizations.c.environment == environment, organizations.c.id > after)
    if query:
        statement = statement.where(
            or_(
                organizations.c.id.icontains(query, autoescape=True),
                organizations.c.name.icontains(query, autoescape=True),
            )
        )
    rows = await connection.execute(statement.order_by(organizations.c.id).limit(limit))
    return tuple(_organization(row) for row in rows)


async def count_organizations(connection: AsyncConnection, environment: str) -> int:
    """Return how many organizations there are."""
    query = select(func.count()).select_from(organizations).where(organizations.c.environment == environment)
    return int((await connection.execute(query)).scalar_one())


_columns = select(organizations.c.id, organizations.c.name, organizations.c.created_at)


def _organization(row: Row[str, str, int]) -> Organization:
    return Organization(row.id, row.name, row.created_at)
