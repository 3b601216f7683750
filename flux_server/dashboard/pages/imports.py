"""Organizations in bulk: a file is tried first, then imported; all of them are exported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from fastapi import APIRouter, Response

from flux_server.bulk.exporting import export_pieces
from flux_server.bulk.files import MEDIA_TYPES, Format
from flux_server.bulk.importing import import_chunk
from flux_server.dashboard.forms import Form
from flux_server.dashboard.uploads import MOST_BYTES, MOST_ROWS, Report, chunks_of, packed, unpacked
from flux_server.dashboard.visits import EnvironmentsVisit, EnvironmentVisit, UsersForm, UsersUpload
from flux_server.errors import NotFoundError
from flux_server.streaming import PiecewiseResponse

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_MOST_ERRORS: Final = 200


@router.get("/{environment}/organizations/import")
async def show_import(visit: EnvironmentsVisit) -> Response:
    """Ask for a file."""
    return _page(visit, Form())


@router.post("/{environment}/organizations/import")
async def try_import(visit: EnvironmentsVisit, upload: UsersUpload) -> Response:
    """Show what a file would do, row by row where it is refused; nothing is changed."""
    form, data = upload
    if not data:
        form.wrong("file", "choose a file that is not empty")
    if form.ok:
        with form.tried():
            report = await _import(visit, data, dry_run=True)
            return visit.page(
                "import_tried.html",
                section="organizations",
                content=packed(data),
                errors=report.errors[:_MOST_ERRORS],
                report=report,
            )
    return _page(visit, form)


@router.post("/{environment}/organizations/import/do")
async def do_import(visit: EnvironmentsVisit, form: UsersForm) -> Response:
    """Import the file that was tried; rows are judged again, for what is stored may have changed."""
    with form.tried():
        report = await _import(visit, unpacked(form.typed("content")), dry_run=False)
        return visit.page(
            "imported.html",
            section="organizations",
            errors=report.errors[:_MOST_ERRORS],
            report=report,
        )
    return _page(visit, form)


@router.get("/{environment}/organizations/export")
async def export(visit: EnvironmentsVisit) -> Response:
    """Return all organizations as a file, CSV or NDJSON, that can be imported."""
    format_ = visit.query("format") or "csv"
    if format_ not in MEDIA_TYPES:
        raise NotFoundError("organizations are exported as csv or as ndjson")
    return PiecewiseResponse(
        _pieces(visit, format_),
        media_type=f"{MEDIA_TYPES[format_]}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="organizations-{visit.key}.{format_}"'},
    )


async def _import(visit: EnvironmentVisit, data: bytes, *, dry_run: bool) -> Report:
    """Import chunk by chunk, so that nobody else waits for long."""
    chunks = await asyncio.to_thread(chunks_of, data)
    report = Report()
    for chunk in chunks:
        transaction = visit.read() if dry_run else visit.write()
        async with transaction as connection:
            done = await import_chunk(
                connection, visit.key, chunk, author=visit.user.email, dry_run=dry_run, now=visit.now
            )
        report.add(done)
    return report


async def _pieces(visit: EnvironmentVisit, format_: Format) -> AsyncGenerator[bytes]:
    # It holds a transaction for as long as its reader takes.
    async with visit.site.exports, visit.read() as connection:
        async for piece in export_pieces(connection, visit.key, format_, visit.now):
            yield piece


def _page(visit: EnvironmentVisit, form: Form) -> Response:
    return visit.page(
        "import.html",
        status=200 if form.ok else form.status,
        section="organizations",
        form=form,
        megabytes=MOST_BYTES // 1024**2,
        rows=MOST_ROWS,
    )
