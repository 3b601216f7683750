from __future__ import annotations

from typing import Any

import pytest

from flux_middleware.entitlements import resolve
from flux_middleware.snapshot import Feature
from flux_server.catalog.features import save_feature
from flux_server.catalog.reading import read_catalog
from flux_server.database import Database
from flux_server.environments.revisions import current_revision
from flux_server.errors import NotFoundError
from flux_server.organizations.organizations import ensure_organization
from flux_server.organizations.overrides import (
    InvalidOverrideError,
    add_override,
    list_overrides,
    remove_override,
)
from flux_server.organizations.records import read_record
from tests.flux_server.running import NOON

ENV = "test"


@pytest.fixture
async def acme(database: Database) -> Database:
    """A database with the features `sso` and `seats` and the organization acme."""
    async with database.write() as connection:
        await save_feature(connection, ENV, Feature("sso", "boolean"), NOON)
        await save_feature(connection, ENV, Feature("seats", "limit"), NOON)
        await ensure_organization(connection, ENV, "acme", now=NOON)
    return database


async def value(database: Database, feature: str, now: float = NOON) -> Any:
    async with database.read() as connection:
        catalog = await read_catalog(connection, ENV)
        entitlements = resolve(catalog, await read_record(connection, ENV, "acme"), now).by_feature
    return entitlements[feature].value if feature in entitlements else None


async def test_an_override_holds_until_it_is_over_or_removed(acme: Database) -> None:
    async with acme.write() as connection:
        override = await add_override(
            connection, ENV, "acme", feature="sso", effect="set", value=True, until=NOON + 9, now=NOON
        )
    assert await value(acme, "sso") is True
    assert await value(acme, "sso", NOON + 9) is None

    async with acme.write() as connection:
        await remove_override(connection, ENV, "acme", override.id, now=NOON)
        assert await list_overrides(connection, ENV, "acme") == ()
        assert await current_revision(connection, ENV) == 4
    assert await value(acme, "sso") is None


async def test_author_and_reason_are_kept(acme: Database) -> None:
    async with acme.write() as connection:
        made = await add_override(
            connection,
            ENV,
            "acme",
            feature="seats",
            effect="add",
            value=-2,
            author="ada",
            reason="pilot",
            now=NOON,
        )
        (kept,) = await list_overrides(connection, ENV, "acme")

    assert kept == made
    assert (kept.author, kept.reason, kept.value) == ("ada", "pilot", -2)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"feature": "sso", "value": 3}, "give true or false", id="number-for-a-boolean"),
        pytest.param({"value": True}, "give a whole number", id="boolean-for-a-limit"),
        pytest.param({"value": -3}, "a number from 0", id="negative-set"),
        pytest.param({"value": None}, "give a whole number", id="no-value"),
        pytest.param({"effect": "deny", "value": 1}, "takes no value", id="deny-with-a-value"),
        pytest.param({"value": 3, "until": NOON}, "not in the future", id="over-already"),
    ],
)
async def test_an_unfit_override_is_refused(acme: Database, changes: dict[str, Any], complaint: str) -> None:
    override: dict[str, Any] = {"feature": "seats", "effect": "set"} | changes

    async with acme.write() as connection:
        with pytest.raises(InvalidOverrideError, match=complaint):
            await add_override(connection, ENV, "acme", **override, now=NOON)


async def test_unknown_organizations_features_and_overrides_are_named(acme: Database) -> None:
    async with acme.write() as connection:
        with pytest.raises(NotFoundError, match="no organization 'nobody'"):
            await add_override(connection, ENV, "nobody", feature="sso", effect="deny", now=NOON)
        with pytest.raises(NotFoundError, match="no feature 'teams'"):
            await add_override(connection, ENV, "acme", feature="teams", effect="deny", now=NOON)
        with pytest.raises(NotFoundError, match="no override 'x'"):
            await remove_override(connection, ENV, "acme", "x", now=NOON)
