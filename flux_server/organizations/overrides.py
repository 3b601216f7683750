"""Overrides: one organization's exceptions, each with an author and a reason."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Feature, Override, WireValue
from flux_server.catalog.reading import read_feature
from flux_server.catalog.values import ENFORCEMENTS, misfit
from flux_server.environments.revisions import lock
from flux_server.errors import InvalidRequestError, NotFoundError
from flux_server.organizations.organizations import read_organization
from flux_server.organizations.records import read_overrides_of, refresh_record
from flux_server.organizations.tables import overrides

__all__ = [
    "EFFECTS",
    "InvalidOverrideError",
    "add_override",
    "insert_overrides",
    "list_overrides",
    "new_override_id",
    "override_error",
    "remove_override",
    "replace_overrides",
]

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
        new_override_id(), feature, effect, value, until, author[:255], reason, since, enforcement
    )
    known = (await read_feature(connection, environment, feature)).value
    wrong = override_error(known, override, now)
    if wrong:
        raise InvalidOverrideError(wrong)
    await insert_overrides(connection, environment, [(organization, override)], now)
    await refresh_record(connection, environment, organization, now)
    return override


def new_override_id() -> str:
    """Return an id that no override has."""
    return uuid.uuid4().hex


def override_error(feature: Feature, override: Override, now: float) -> str | None:
    """Say what is wrong with an override of the feature that is to be made now; None if nothing is."""
    return _value_error(feature, override) or _time_error(override, now)


async def insert_overrides(
    connection: AsyncConnection, environment: str, made: Sequence[tuple[str, Override]], now: float
) -> None:
    """Store new overrides, each with its organization; their records are the caller's to refresh."""
    rows = [
        _values(override) | {"environment": environment, "organization": organization, "created_at": int(now)}
        for organization, override in made
    ]
    if rows:
        await connection.execute(insert(overrides), rows)


async def replace_overrides(
    connection: AsyncConnection, environment: str, changed: Sequence[Override]
) -> None:
    """Store overrides anew under the ids that they have; their records are the caller's to refresh."""
    rows = [
        {f"new_{name}": value for name, value in _values(override).items()} | {"which": override.id}
        for override in changed
    ]
    if rows:
        new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _values(changed[0])}
        same = (overrides.c.environment == environment) & (overrides.c.id == bindparam("which"))
        await connection.execute(update(overrides).where(same).values(new), rows)


def _values(override: Override) -> dict[str, Any]:
    value = None if override.value is None else msgspec.json.encode(override.value).decode()
    return msgspec.structs.asdict(override) | {"value": value}


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
    found = await read_overrides_of(connection, environment, [organization])
    return found.get(organization, ())
