"""Importing organizations: a chunk of a file in one transaction, in which every row is judged by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.bulk.files import Format, read_rows
from flux_server.bulk.judging import Change, Stored, judge
from flux_server.bulk.rows import MAX_ROWS, Duplicates, InvalidFileError, Refusal, Row
from flux_server.catalog.reading import find_features
from flux_server.database import one_of
from flux_server.environments.revisions import lock
from flux_server.organizations.organizations import read_names, save_organizations
from flux_server.organizations.overrides import insert_overrides, new_override_id, replace_overrides
from flux_server.organizations.records import read_overrides_of, refresh_records
from flux_server.stripe.customers import map_customers
from flux_server.stripe.tables import stripe_customers

__all__ = ["Chunk", "Imported", "import_chunk", "parse_chunk"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a file that can be judged, and why others cannot."""

    rows: tuple[Row, ...]
    refused: int
    errors: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows did what, or would, and what is wrong with those refused."""

    created: int
    changed: int
    unchanged: int
    refused: int
    errors: tuple[Refusal, ...]


def parse_chunk(data: bytes, format_: Format) -> Chunk:
    """Read the rows.

    Raises:
        InvalidFileError: they cannot be read, or there are too many.
    """
    seen = Duplicates()
    rows: list[Row] = []
    errors: list[Refusal] = []
    refused = 0
    for row, wrong in read_rows(BytesIO(data), format_):
        wrong = wrong or (seen.errors(row) if row else ())
        if row is None or wrong:
            refused += 1
            errors += wrong
        else:
            rows.append(row)
        if len(rows) + refused > MAX_ROWS:
            raise InvalidFileError(
                f"at most {MAX_ROWS:,} rows are taken at once; send the others after these"
            )
    return Chunk(tuple(rows), refused, tuple(errors))


async def import_chunk(
    connection: AsyncConnection, environment: str, chunk: Chunk, *, author: str, dry_run: bool, now: float
) -> Imported:
    """Do what each row says, unless something is wrong with it; on a dry run, only say what would be done."""
    if not dry_run:
        await lock(connection, environment)
    stored = await _read_stored(connection, environment, chunk.rows)
    judged = [judge(row, stored, author=author, new_id=new_override_id, now=now) for row in chunk.rows]
    good = [change for change in judged if not change.errors]
    if not dry_run:
        await _apply(connection, environment, good, now)
    errors = [*chunk.errors, *(error for change in judged for error in change.errors)]
    created = sum(change.is_new for change in good)
    unchanged = sum(change.is_nothing for change in good)
    return Imported(
        created=created,
        changed=len(good) - created - unchanged,
        unchanged=unchanged,
        refused=chunk.refused + len(judged) - len(good),
        errors=tuple(sorted(errors, key=lambda error: error.row)),
    )


async def _read_stored(connection: AsyncConnection, environment: str, rows: Iterable[Row]) -> Stored:
    rows = list(rows)
    features = {override.feature for row in rows for override in row.overrides}
    customers = [customer for row in rows for customer in row.stripe_customers]
    with_overrides = [row.id for row in rows if row.overrides]
    columns = stripe_customers.c
    owners = await connection.execute(
        select(columns.customer, columns.organization).where(
            columns.environment == environment, columns.customer.in_(one_of(connection, customers))
        )
    )
    return Stored(
        names=await read_names(connection, environment, [row.id for row in rows]),
        overrides=await read_overrides_of(connection, environment, with_overrides),
        owners={row.customer: row.organization for row in owners},
        features={
            key: found.value
            for key, found in (await find_features(connection, environment, features)).items()
        },
    )


async def _apply(
    connection: AsyncConnection, environment: str, changes: Iterable[Change], now: float
) -> None:
    changes = [change for change in changes if not change.is_nothing]
    named = {change.organization: change.name for change in changes if change.name is not None}
    new = {change.organization for change in changes if change.is_new}
    await save_organizations(connection, environment, named, new, now)
    made = [(change.organization, override) for change in changes for override in change.new_overrides]
    await insert_overrides(connection, environment, made, now)
    changed = [override for change in changes for override in change.changed_overrides]
    await replace_overrides(connection, environment, changed)
    touched = {change.organization for change in changes if change.new_overrides or change.changed_overrides}
    await refresh_records(connection, environment, touched, now)
    customers = {customer: change.organization for change in changes for customer in change.customers}
    await map_customers(connection, environment, customers, now)
