"""The environment that a key belongs to, and its API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from flux_server.api.dependencies import Caller, Clock, DatabaseOf, requires_scope
from flux_server.api.fields import Text
from flux_server.api.pages import Cursor, Limit, cut, read_numbered_cursor
from flux_server.api.problems import problem_responses
from flux_server.api.stream import read_hello
from flux_server.environments.api_keys import (
    ApiKey,
    Scope,
    create_api_key,
    list_api_keys,
    revoke_api_key,
)

__all__ = ["router"]

router = APIRouter(tags=["environment"], responses=problem_responses(401, 403))


class EnvironmentAnswer(BaseModel):
    """The environment of the key that asks."""

    schema_: str = Field(serialization_alias="schema")
    environment: str
    instance: str
    revision: int


class KeyRequest(BaseModel):
    """An API key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(min_length=1, max_length=255)
    scope: Scope


class KeyAnswer(BaseModel):
    """An API key; its secret is shown only once."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    scope: Scope
    prefix: str
    created_at: int
    revoked_at: int | None


class NewKeyAnswer(KeyAnswer):
    """A new API key, with the secret that cannot be read again."""

    secret: str


class KeysAnswer(BaseModel):
    """A page of API keys, newest first; `next_cursor` asks for the one after it."""

    api_keys: list[KeyAnswer]
    next_cursor: str | None


Admin = Annotated[Caller, Depends(requires_scope("admin"))]


@router.get("/v1/environment", tags=["sdk"])
async def read_own_environment(
    database: DatabaseOf, caller: Annotated[Caller, Depends(requires_scope("sdk"))]
) -> EnvironmentAnswer:
    """Return the environment of the API key: a cheap way to see whether a key works."""
    async with database.read() as connection:
        hello = await read_hello(connection, caller.environment)
    return EnvironmentAnswer(
        schema_=hello.schema,
        environment=hello.environment,
        instance=hello.instance,
        revision=hello.revision,
    )


@router.get("/v1/api-keys", responses=problem_responses(422))
async def list_all_api_keys(
    database: DatabaseOf,
    caller: Annotated[Caller, Depends(requires_scope("read"))],
    cursor: Cursor = "",
    limit: Limit = 50,
) -> KeysAnswer:
    """List the environment's API keys, without their secrets, newest first."""
    after = read_numbered_cursor(cursor)
    async with database.read() as connection:
        found = await list_api_keys(connection, caller.environment, after=after, limit=limit + 1)
    page, next_cursor = cut(found, limit, lambda key: f"{key.created_at} {key.id}")
    return KeysAnswer(api_keys=[KeyAnswer.model_validate(key) for key in page], next_cursor=next_cursor)


@router.post("/v1/api-keys", status_code=201, responses=problem_responses(422))
async def create_one_api_key(
    body: KeyRequest, database: DatabaseOf, clock: Clock, caller: Admin
) -> NewKeyAnswer:
    """Make an API key and show its secret, this once."""
    async with database.write(caller.actor) as connection:
        key, secret = await create_api_key(
            connection, caller.environment, name=body.name, scope=body.scope, now=clock()
        )
    return _with_secret(key, secret)


@router.delete("/v1/api-keys/{key}", status_code=204, responses=problem_responses(404))
async def revoke_one_api_key(key: Text, database: DatabaseOf, clock: Clock, caller: Admin) -> None:
    """Refuse the API key from now on."""
    async with database.write(caller.actor) as connection:
        await revoke_api_key(connection, caller.environment, key, now=clock())


def _with_secret(key: ApiKey, secret: str) -> NewKeyAnswer:
    return NewKeyAnswer(**KeyAnswer.model_validate(key).model_dump(), secret=secret)
