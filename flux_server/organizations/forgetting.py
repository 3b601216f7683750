"""Forgetting an organization: its name, its overrides and its history are gone for good."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.history import Kind, forget, note
from flux_server.environments.revisions import advance, lock
from flux_server.errors import ConflictError
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.tables import organizations, outside_grants, overrides
from flux_server.subscriptions.tables import subscriptions

__all__ = ["OrganizationLiveError", "forget_organization"]

_OVER: Final = ("canceled", "incomplete_expired")
_KINDS: Final[tuple[Kind, ...]] = ("organization", "record", "customers")


class OrganizationLiveError(ConflictError):
    """The organization still subscribes to something."""

    code = "organization_live"
    title = "Organization live"


async def forget_organization(
    connection: AsyncConnection, environment: str, organization: str, now: float
) -> None:
    """Forget the organization, and everything that the history says of it, except that it was forgotten.

    Subscriptions that are over are nobody's from then on. Usage stays as it was billed, under the mere id.

    Raises:
        NotFoundError: there is no such organization.
        OrganizationLiveError: it has a subscription that is not over.
    """
    await lock(connection, environment)
    await read_organization(connection, environment, organization)
    mine = (subscriptions.c.environment == environment) & (subscriptions.c.organization == organization)
    going_on = select(subscriptions.c.id).where(
        mine, subscriptions.c.ended_at.is_(None), subscriptions.c.status.not_in(_OVER)
    )
    live = (await connection.execute(going_on.order_by(subscriptions.c.id))).scalars().all()
    if live:
        raise OrganizationLiveError(
            f"organization {organization!r:.300} has the subscription {live[0]}; cancel it, or give its customer to "
            "another organization, and delete the organization then"
        )
    await connection.execute(update(subscriptions).where(mine).values(organization=None))
    for table, name in (
        (overrides, overrides.c.organization),
        (outside_grants, outside_grants.c.organization),
        (organizations, organizations.c.id),
    ):
        of_organization = (table.c.environment == environment) & (name == organization)
        await connection.execute(delete(table).where(of_organization))
    await advance(connection, environment, kind="organization", organization=organization, now=now)
    await forget(connection, environment, _KINDS, organization)
    await note(connection, environment, "organization", organization, None, now)
