"""Features that somebody outside of Flux grants organizations, besides what they bought.

In an organization's record each is an override that adds, under the name of who grants it: so wherever plans grant the
feature too nothing changes, and a denial wins. While somebody here has set the feature, theirs decides: the grant is
left out for as long as that lasts, which is known when the record is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Override
from flux_server.database import one_of
from flux_server.organizations.tables import outside_grants

__all__ = [
    "OutsideGrant",
    "grant_overrides",
    "list_granted_organizations",
    "read_grants_of",
    "replace_grants",
]

_columns = outside_grants.c


@dataclass(frozen=True, slots=True, order=True)
class OutsideGrant:
    """A feature that an author grants, and why."""

    feature: str
    author: str
    reason: str


async def replace_grants(
    connection: AsyncConnection,
    environment: str,
    author: str,
    grants: Mapping[str, Collection[OutsideGrant]],
) -> None:
    """Let these be all that the author grants each of the organizations; their records are the caller's to refresh."""
    mine = and_(
        _columns.environment == environment,
        _columns.author == author,
        _columns.organization.in_(one_of(connection, grants)),
    )
    await connection.execute(delete(outside_grants).where(mine))
    rows = [
        {"environment": environment, "organization": organization}
        | {"feature": grant.feature, "author": author, "reason": grant.reason}
        for organization, granted in grants.items()
        for grant in granted
    ]
    if rows:
        await connection.execute(insert(outside_grants), rows)


async def list_granted_organizations(
    connection: AsyncConnection, environment: str, author: str, *, limit: int
) -> list[str]:
    """Return up to `limit` organizations that the author grants anything."""
    query = (
        select(_columns.organization)
        .where(_columns.environment == environment, _columns.author == author)
        .distinct()
        .order_by(_columns.organization)
        .limit(limit)
    )
    return list((await connection.execute(query)).scalars())


async def read_grants_of(
    connection: AsyncConnection, environment: str, ids: Iterable[str]
) -> dict[str, list[OutsideGrant]]:
    """Return what those of the organizations are granted that are granted anything."""
    mine = and_(_columns.environment == environment, _columns.organization.in_(one_of(connection, ids)))
    theirs: dict[str, list[OutsideGrant]] = {}
    for row in await connection.execute(select(outside_grants).where(mine)):
        theirs.setdefault(row.organization, []).append(OutsideGrant(row.feature, row.author, row.reason))
    return theirs


def grant_overrides(grants: Iterable[OutsideGrant], own: Collection[Override]) -> Iterator[Override]:
    """Yield the grants as overrides, each for the times in which none of the organization's own sets the feature."""
    for grant in sorted(grants):
        sets = [each for each in own if each.feature == grant.feature and each.effect == "set"]
        for since, until in _uncovered(sets):
            name = f"{grant.author.lower()}-{grant.feature}"
            yield Override(
                id=name if since is None else f"{name}-{since}",
                feature=grant.feature,
                effect="add",
                value=True,
                until=until,
                author=grant.author,
                reason=grant.reason,
                since=since,
            )


def _uncovered(sets: Iterable[Override]) -> Iterator[tuple[int | None, int | None]]:
    free_from: int | None = None
    for each in sorted(sets, key=lambda each: -inf if each.since is None else each.since):
        if each.since is not None and (free_from is None or each.since > free_from):
            yield free_from, each.since
        if each.until is None:
            return
        free_from = each.until if free_from is None else max(free_from, each.until)
    yield free_from, None
