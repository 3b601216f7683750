"""Overrides: one organization's exceptions, each with an author and a reason."""

from __future__ import annotations

import uuid
from typing import Literal

import msgspec
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Override, WireValue
from flux_server.catalog.reading import read_feature
from flux_server.catalog.values import misfit
from flux_server.environments.revisions import lock
from flux_server.errors import InvalidRequestError, NotFoundError
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.records import read_record, refresh_record
from flux_server.organizations.tables import overrides

__all__ = ["InvalidOverrideError", "add_override", "list_overrides", "remove_override"]


class InvalidOverrideError(InvalidRequestError):
    """An override does not fit its feature."""

    code = "invalid_override"
    title = "Invalid override"


async def add_override(
    connection: AsyncConnection,
    environment: str,
    organization: str,
    *,
    feature: str,
    effect: Literal["set", "add", "deny"],
    value: WireValue | None = None,
    until: int | None = None,
    author: str = "",
    reason: str = "",
    now: float,
) -> Override:
    """Make an exception for the organization, at once and until `until` (epoch seconds), if that is given.

    Raises:
        InvalidOverrideError: the value does not fit the feature or the effect, or the exception is over already.
        NotFoundError: there is no such organization or feature.
    """
    await lock(connection, environment)
    await read_organization(connection, environment, organization)
    known = await read_feature(connection, environment, feature)
    if effect == "deny":
        wrong = None if value is None else "`deny` takes no value; leave it out"
    else:
        wrong = misfit(known, value, negative=effect == "add")
    if until is not None and until <= now:
        wrong = f"`until` is {until}, which is not in the future; leave it out for an override without an end"
    if wrong:
        raise InvalidOverrideError(wrong)
    override = Override(uuid.uuid4().hex, feature, effect, value, until, author[:255], reason)
    await connection.execute(
        insert(overrides).values(
            **{name: given for name, given in msgspec.structs.asdict(override).items() if name in overrides.c}
            | {
                "environment": environment,
                "organization": organization,
                "value": None if value is None else msgspec.json.encode(value).decode(),
                "created_at": int(now),
            }
        )
    )
    await refresh_record(connection, environment, organization, now)
    return override


async def remove_override(
    connection: AsyncConnection, environment: str, organization: str, override: str, *, now: float
) -> None:
    """End the exception.

    Raises:
        NotFoundError: the organization has no such override.
    """
    await lock(connection, environment)
    result = await connection.execute(
        delete(overrides).where(
            overrides.c.environment == environment,
            overrides.c.organization == organization,
            overrides.c.id == override,
        )
    )
    if not result.rowcount:
        raise NotFoundError(f"organization {organization!r:.300} has no override {override!r:.100}")
    await refresh_record(connection, environment, organization, now)


async def list_overrides(
    connection: AsyncConnection, environment: str, organization: str
) -> tuple[Override, ...]:
    """Return the organization's overrides, oldest first, expired ones included."""
    return (await read_record(connection, environment, organization)).overrides
