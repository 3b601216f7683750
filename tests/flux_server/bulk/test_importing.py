"""Files against both databases: what is done, what is refused, and that doing it again changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from flux_middleware.snapshot import Feature
from flux_server.bulk.exporting import export_pieces
from flux_server.bulk.files import Format
from flux_server.bulk.importing import Imported, import_chunk, parse_chunk
from flux_server.bulk.rows import InvalidFileError
from flux_server.catalog.features import save_feature
from flux_server.database import Database
from flux_server.environments.environments import ensure_environment
from flux_server.environments.history import read_history
from flux_server.environments.revisions import current_revision
from flux_server.organizations.organizations import list_organizations
from flux_server.organizations.overrides import add_override
from flux_server.organizations.records import read_record
from flux_server.stripe.reading import list_customers
from tests.flux_server.running import NOON

ENV = "test"
FILE = """\
id,name,stripe_customers,override.seats,override.sso
acme,Acme,cus_1 cus_2,50 until 2099-01-01 (pilot),
globex,"Globex, Inc.",,add -5,true
initech,,,,deny (unpaid)
"""


@pytest.fixture
async def furnished(database: Database) -> Database:
    async with database.write() as connection:
        for environment in (ENV, "other"):
            await ensure_environment(connection, environment, NOON)
            await save_feature(connection, environment, Feature("sso", "boolean"), NOON)
            await save_feature(connection, environment, Feature("seats", "limit"), NOON)
    return database


async def load(
    database: Database,
    text: str | bytes = FILE,
    format_: Format = "csv",
    *,
    dry_run: bool = False,
    environment: str = ENV,
    now: float = NOON,
) -> Imported:
    data = text.encode() if isinstance(text, str) else text
    async with database.write("ada") as connection:
        return await import_chunk(
            connection, environment, parse_chunk(data, format_), author="import", dry_run=dry_run, now=now
        )


async def dump(database: Database, format_: Format, environment: str = ENV, *, now: float = NOON) -> bytes:
    async with database.read() as connection:
        return b"".join([piece async for piece in export_pieces(connection, environment, format_, now)])


def counts(imported: Imported) -> tuple[int, int, int, int]:
    return imported.created, imported.changed, imported.unchanged, imported.refused


async def test_a_file_makes_organizations_with_customers_and_overrides(furnished: Database) -> None:
    assert counts(await load(furnished)) == (3, 0, 0, 0)

    async with furnished.read() as connection:
        names = [found.name for found in await list_organizations(connection, ENV)]
        (pilot,) = (await read_record(connection, ENV, "acme")).overrides
        globex = (await read_record(connection, ENV, "globex")).overrides
        customers = await list_customers(connection, ENV, "acme")
    assert names == ["Acme", "Globex, Inc.", ""]
    assert (pilot.value, pilot.until, pilot.author, pilot.reason) == (50, 4_070_908_800, "import", "pilot")
    assert sorted((each.feature, each.effect, each.value) for each in globex) == [
        ("seats", "add", -5),
        ("sso", "set", True),
    ]
    assert [(customer.id, customer.source) for customer in customers] == [
        ("cus_1", "explicit"),
        ("cus_2", "explicit"),
    ]


async def test_importing_again_changes_nothing(furnished: Database) -> None:
    await load(furnished)
    async with furnished.read() as connection:
        revision = await current_revision(connection, ENV)
        history = await read_history(connection, ENV, kinds=["organization", "record", "customers"], limit=99)

    assert counts(await load(furnished, now=NOON + 60)) == (0, 0, 3, 0)

    async with furnished.read() as connection:
        assert await current_revision(connection, ENV) == revision
        assert history == await read_history(
            connection, ENV, kinds=["organization", "record", "customers"], limit=99
        )
    assert len(history) == 3 + 3 + 1


async def test_a_changed_file_changes_what_it_says(furnished: Database) -> None:
    await load(furnished)
    changed = (
        FILE.replace("50 until 2099-01-01", "60").replace("Acme", "ACME").replace("cus_2", "cus_2 cus_3")
    )

    assert counts(await load(furnished, changed)) == (0, 1, 2, 0)

    async with furnished.read() as connection:
        (override,) = (await read_record(connection, ENV, "acme")).overrides
        assert len(await list_customers(connection, ENV, "acme")) == 3
    assert (override.value, override.until) == (60, None)


async def test_rows_that_fit_are_done_and_others_are_named(furnished: Database) -> None:
    text = "id,override.seats,override.magic\nacme,5,\nglobex,true,\n,5,\nacme,6,\ninitech,,1\n"

    imported = await load(furnished, text)

    assert counts(imported) == (1, 0, 0, 4)
    assert [(error.row, error.field) for error in imported.errors] == [
        (3, "override.seats"),
        (4, "id"),
        (5, "id"),
        (6, "override.magic"),
    ]
    async with furnished.read() as connection:
        assert [found.id for found in await list_organizations(connection, ENV)] == ["acme"]


async def test_a_dry_run_says_the_same_and_does_nothing(furnished: Database) -> None:
    foreseen = await load(furnished, dry_run=True)

    async with furnished.read() as connection:
        assert await list_organizations(connection, ENV) == ()
        assert await current_revision(connection, ENV) == 2, "only the features"
    assert await load(furnished) == foreseen


async def test_anothers_customer_is_not_taken_away(furnished: Database) -> None:
    await load(furnished)

    imported = await load(furnished, "id,stripe_customers\nglobex,cus_1\n")

    assert counts(imported) == (0, 0, 0, 1)
    assert "is organization 'acme'" in imported.errors[0].detail


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_what_is_exported_can_be_imported_here_and_elsewhere(
    furnished: Database, format_: Format
) -> None:
    await load(furnished)
    exported = await dump(furnished, format_)

    assert counts(await load(furnished, exported, format_)) == (0, 0, 3, 0)
    assert counts(await load(furnished, exported, format_, environment="other")) == (3, 0, 0, 0)
    assert counts(await load(furnished, exported, format_, environment="other")) == (0, 0, 3, 0)
    assert await dump(furnished, "csv", "other") == await dump(furnished, "csv")


async def test_an_override_that_is_over_is_not_exported(furnished: Database) -> None:
    await load(furnished, "id\nacme\n")
    async with furnished.write() as connection:
        for until, reason in ((NOON + 9, "short"), (NOON + 90, "long")):
            await add_override(
                connection, ENV, "acme", feature="sso", effect="deny", until=until, reason=reason, now=NOON
            )

    assert b"short" in await dump(furnished, "csv")
    assert b"short" not in await dump(furnished, "csv", now=NOON + 9)
    assert (
        await dump(furnished, "csv", now=NOON + 90) == b"\xef\xbb\xbfid,name,stripe_customers\r\nacme,,\r\n"
    )


async def test_more_than_a_page_is_exported_in_order(furnished: Database) -> None:
    ids = [f"org-{number:04}" for number in range(1_100)]
    for start in (0, 1_000):
        await load(furnished, "id\n" + "\n".join(ids[start : start + 1_000]))

    lines = (await dump(furnished, "csv")).decode().splitlines()

    assert [line.partition(",")[0] for line in lines[1:]] == ids


async def test_too_many_rows_at_once_are_refused() -> None:
    with pytest.raises(InvalidFileError, match="at most 1,000 rows"):
        parse_chunk(b"id\n" + b"\n".join(b"%d" % number for number in range(1_001)), "csv")


async def test_two_imports_at_once_make_each_override_once(furnished: Database) -> None:
    results = await asyncio.wait_for(asyncio.gather(*(load(furnished) for _ in range(5))), 60)

    assert sorted(counts(result) for result in results) == [(0, 0, 3, 0)] * 4 + [(3, 0, 0, 0)]
