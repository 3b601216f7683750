"""Exporting organizations: all of them as of one moment, page by page, in a form that can be imported."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import OrganizationRecord, decode
from flux_server.bulk.csv_files import header, write_csv
from flux_server.bulk.files import Format
from flux_server.bulk.ndjson import write_ndjson
from flux_server.bulk.rows import Row
from flux_server.database import one_of
from flux_server.organizations.tables import organizations, overrides
from flux_server.stripe.tables import stripe_customers

__all__ = ["export_pieces"]

_PAGE = 500
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # without it, spreadsheets take UTF-8 for something else, and spoil names


async def export_pieces(
    connection: AsyncConnection, environment: str, format_: Format, now: float
) -> AsyncGenerator[bytes]:
    """Yield the file in pieces. Overrides that are over are left out: nobody can make them any more."""
    if format_ == "ndjson":
        async for rows in _pages(connection, environment, now):
            yield b"".join(write_ndjson(row) for row in rows)
        return
    columns = header(await _overridden_features(connection, environment, now))
    yield _BYTE_ORDER_MARK + _csv([columns])
    async for rows in _pages(connection, environment, now):
        yield _csv(write_csv(row, columns) for row in rows)


def _csv(records: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(records)
    return text.getvalue().encode()


async def _overridden_features(connection: AsyncConnection, environment: str, now: float) -> list[str]:
    lasting = or_(overrides.c.until.is_(None), overrides.c.until > int(now))
    query = select(overrides.c.feature).distinct().where(overrides.c.environment == environment, lasting)
    return sorted((await connection.execute(query)).scalars())


async def _pages(connection: AsyncConnection, environment: str, now: float) -> AsyncGenerator[list[Row]]:
    after, number = "", 1
    while True:
        columns = organizations.c
        found = await connection.execute(
            select(columns.id, columns.name, columns.record)
            .where(columns.environment == environment, columns.id > after)
            .order_by(columns.id)
            .limit(_PAGE)
        )
        page = found.all()
        if not page:
            return
        after = page[-1].id
        customers = await _customers(connection, environment, [row.id for row in page])
        yield [
            _row(number + place, row.id, row.name, row.record, customers.get(row.id, []), now)
            for place, row in enumerate(page)
        ]
        number += len(page)


async def _customers(
    connection: AsyncConnection, environment: str, ids: Iterable[str]
) -> dict[str, list[str]]:
    columns = stripe_customers.c
    found = await connection.execute(
        select(columns.organization, columns.customer).where(
            columns.environment == environment,
            columns.organization.in_(one_of(connection, ids)),
            columns.deleted.is_(False),
        )
    )
    theirs: dict[str, list[str]] = {}
    for row in found:
        theirs.setdefault(row.organization, []).append(row.customer)
    return {organization: sorted(customers) for organization, customers in theirs.items()}


def _row(number: int, name_id: str, name: str, record: bytes, customers: list[str], now: float) -> Row:
    lasting = (
        override
        for override in decode(record, OrganizationRecord).overrides
        if override.until is None or override.until > now
    )
    return Row(number, name_id, name, tuple(customers), tuple(lasting))
