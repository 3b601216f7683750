"""Organizations: the application's customers, under ids that the application chose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Row, bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import OrganizationRecord, encode, require_organization
from flux_server.database import one_of
from flux_server.environments.history import note_all
from flux_server.environments.revisions import lock
from flux_server.errors import NotFoundError
from flux_server.organizations.tables import organizations

__all__ = [
    "Organization",
    "count_organizations",
    "ensure_organization",
    "list_organizations",
    "read_names",
    "read_organization",
    "save_organizations",
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
    name = name[:255]
    names = await read_names(connection, environment, [organization])
    if organization not in names:
        await save_organizations(connection, environment, {organization: name}, {organization}, now)
    elif name and name != names[organization]:
        await save_organizations(connection, environment, {organization: name}, set(), now)
    return await read_organization(connection, environment, organization)


async def save_organizations(
    connection: AsyncConnection, environment: str, names: Mapping[str, str], new: Collection[str], now: float
) -> None:
    """Name the organizations, and make those of them that are new; the caller holds the environment's lock."""
    made = [
        {
            "environment": environment,
            "id": organization,
            "name": names[organization],
            "created_at": int(now),
            "record": encode(OrganizationRecord(organization)),
        }
        for organization in new
    ]
    if made:
        await connection.execute(insert(organizations), made)
    renamed = [
        {"which": organization, "new_name": name}
        for organization, name in names.items()
        if organization not in new
    ]
    if renamed:
        mine = (organizations.c.environment == environment) & (organizations.c.id == bindparam("which"))
        await connection.execute(
            update(organizations).where(mine).values(name=bindparam("new_name")), renamed
        )
    states = {organization: {"name": name} for organization, name in names.items()}
    await note_all(connection, environment, "organization", states, now)


async def read_names(connection: AsyncConnection, environment: str, ids: Collection[str]) -> dict[str, str]:
    """Return the names of those of the organizations that there are."""
    query = select(organizations.c.id, organizations.c.name).where(
        organizations.c.environment == environment, organizations.c.id.in_(one_of(connection, ids))
    )
    return {row.id: row.name for row in await connection.execute(query)}


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
    connection: AsyncConnection,
    environment: str,
    *,
    query: str = "",
    also: Collection[str] = (),
    after: str = "",
    limit: int = 50,
) -> tuple[Organization, ...]:
    """Return organizations whose id or name contains `query`, in the order of their ids, those after `after`.

    Those named by `also` are found by any query.
    """
    statement = _columns.where(organizations.c.environment == environment, organizations.c.id > after)
    if query:
        statement = statement.where(
            or_(
                organizations.c.id.icontains(query, autoescape=True),
                organizations.c.name.icontains(query, autoescape=True),
                organizations.c.id.in_(also),
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
