"""What routes ask for: who is calling, the database, the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import unquote

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from flux_middleware.snapshot import require_organization
from flux_server.database import Database
from flux_server.environments.api_keys import Scope, find_api_key
from flux_server.errors import InvalidRequestError, ScopeMissingError, UnauthorizedError
from flux_server.settings import Settings

__all__ = [
    "Caller",
    "Clock",
    "DatabaseOf",
    "OrganizationId",
    "SettingsOf",
    "get_database",
    "requires_scope",
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the API key of this request: the key's environment and scope.

    `actor` is how the history names them, `name` what the key is called.
    """

    environment: str
    scope: Scope
    key_id: str
    actor: str
    name: str


# An `admin` key may do everything.
_GRANTED_BY: dict[Scope, frozenset[Scope]] = {
    "sdk": frozenset({"sdk", "admin"}),
    "read": frozenset({"read", "admin"}),
    "admin": frozenset({"admin"}),
}

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    auto_error=False,
    description="An API key, `flux_<environment>_<secret>`. It belongs to one environment and has one scope: `sdk` "
    "(read the snapshot and the stream, send usage), `read` (read everything but secrets) or `admin` (everything). "
    "Each operation names the scope that it needs.",
)


# Asynchronous though they wait for nothing: FastAPI hands plain functions to a thread, in each request.


async def get_database(request: Request) -> Database:
    """Return the application's database."""
    return cast("Database", request.app.state.database)


async def _get_settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def _get_clock(request: Request) -> Callable[[], float]:
    return cast("Callable[[], float]", request.app.state.clock)


DatabaseOf = Annotated[Database, Depends(get_database)]
SettingsOf = Annotated[Settings, Depends(_get_settings)]
Clock = Annotated[Callable[[], float], Depends(_get_clock)]


def requires_scope(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """Return the dependency that lets only keys of this scope in, and says who is calling."""

    async def caller(
        request: Request,
        database: DatabaseOf,
        credentials: HTTPAuthorizationCredentials | None = Security(_bearer, scopes=[scope]),
    ) -> Caller:
        if credentials is None:
            raise UnauthorizedError("send an API key: `Authorization: Bearer flux_<environment>_…`")
        async with database.read() as connection:
            key = await find_api_key(connection, credentials.credentials)
        if key is None:
            raise UnauthorizedError(
                "this API key is unknown or revoked; make one in the dashboard or with `flux keys create`"
            )
        if key.scope not in _GRANTED_BY[scope]:
            raise ScopeMissingError(
                f"this call needs an API key with scope {scope!r}, not {key.scope!r}; make one in the dashboard "
                f"or with `flux keys create --scope {scope}`",
                scope=scope,
            )
        request.state.caller = Caller(
            key.environment, key.scope, key.id, f"API key {key.name} ({key.prefix})", key.name
        )
        return cast("Caller", request.state.caller)

    return caller


async def _organization_id(
    organization: Annotated[
        str,
        Path(
            description="The organization's id, 1 to 255 bytes of UTF-8, percent-encoded; a slash in it as %2F.",
            json_schema_extra={"minLength": 1, "maxLength": 255},  # checked below, decoded
        ),
    ],
) -> str:
    try:
        return require_organization(unquote(organization, errors="strict"))
    except UnicodeDecodeError as error:
        raise InvalidRequestError("an organization's id is UTF-8; percent-encode its bytes") from error


OrganizationId = Annotated[str, Depends(_organization_id)]
