"""Overrides: one organization's exceptions, each with an author and a reason."""

from __future__ import annotations

import uuid
from typing import Final

import msgspec
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Override, WireValue
from flux_server.catalog.reading import read_feature
from flux_server.catalog.values import ENFORCEMENTS, misfit
from flux_server.environments.revisions import lock
from flux_server.errors import InvalidRequestError, NotFoundError
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.records import read_record, refresh_record
from flux_server.organizations.tables import overrides

__all__ = ["EFFECTS", "InvalidOverrideError", "add_override", "list_overrides", "remove_override"]

EFFECTS: Final = ("set", "add", "deny")


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
    effect: str,
    value: WireValue | None = None,
    since: int | None = None,
    until: int | None = None,
    enforcement: str = "",
    author: str = "",
    reason: str = "",
    now: float,
) -> Override:
    """Make an exception for the organization, from `since` until `until` (epoch seconds) where these are given.

    With an `enforcement`, the metered limit is enforced in that way meanwhile.

    Raises:
        InvalidOverrideError: the value does not fit the feature or the effect, or the exception is over already.
        NotFoundError: there is no such organization or feature.
    """
    await lock(connection, environment)
    await read_organization(connection, environment, organization)
    override = Override(
        uuid.uuid4().hex, feature, effect, value, until, author[:255], reason, since, enforcement
    )
    known = (await read_feature(connection, environment, feature)).value
    wrong = _value_error(known, override) or _time_error(override, now)
    if wrong:
        raise InvalidOverrideError(wrong)
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


def _value_error(feature: Feature, override: Override) -> str | None:
    if override.effect not in EFFECTS:
        return f"an override's effect is one of {', '.join(EFFECTS)}, not {override.effect!r:.50}"
    if override.enforcement and (feature.metric is None or override.enforcement not in ENFORCEMENTS):
        return "`enforcement` is 'hard' or 'soft', and of a limit that is used up by a metric; leave it out"
    if override.effect == "deny":
        return None if override.value is None else "`deny` takes no value; leave it out"
    return misfit(feature, override.value, negative=override.effect == "add")


def _time_error(override: Override, now: float) -> str | None:
    if override.until is None:
        return None
    if override.until <= now:
        return f"`until` is {override.until}, which is not in the future; leave it out for an override without an end"
    if override.since is not None and override.until <= override.since:
        return f"`until` is {override.until}, which is not after `since`, {override.since}"
    return None


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
