"""Sweeps: each comparison of all subscriptions with Stripe, and what each found that Flux had not been told."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Response

from flux_server.dashboard.sweep_words import REASON_WORDS, REPAIR_WORDS, STATUS_WORDS, said
from flux_server.dashboard.visits import EnvironmentsVisit
from flux_server.stripe.link import read_link
from flux_server.stripe.sweep_log import list_drift, list_sweeps, read_sweep

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_PAGE: Final = 50


@router.get("/{environment}/stripe/drift")
async def show_sweeps(visit: EnvironmentsVisit) -> Response:
    """List the sweeps, newest first, a page at a time."""
    before = _before(visit.query("before"))
    async with visit.read() as connection:
        link = await read_link(connection, visit.key)
        found = await list_sweeps(connection, visit.key, before=before, limit=_PAGE + 1)
    last = found[_PAGE - 1] if len(found) > _PAGE else None
    return visit.page(
        "stripe_drift.html",
        section="stripe",
        before=before,
        link=link,
        next=f"{last.started_at}.{last.id}" if last else "",
        reasons=REASON_WORDS,
        statuses=STATUS_WORDS,
        sweeps=found[:_PAGE],
    )


@router.get("/{environment}/stripe/sweep")
async def show_sweep(visit: EnvironmentsVisit) -> Response:
    """Show one sweep: how far it is, and what it found."""
    kind, _, name = visit.query("after").partition(":")
    async with visit.read() as connection:
        sweep = await read_sweep(connection, visit.key, visit.query("id"))
        found = await list_drift(connection, visit.key, sweep.id, after=(kind, name), limit=_PAGE + 1)
    last = found[_PAGE - 1] if len(found) > _PAGE else None
    return visit.page(
        "stripe_sweep.html",
        section="stripe",
        after=kind,
        found=[(drift, [said(each) for each in drift.differences]) for drift in found[:_PAGE]],
        next=f"{last.object_type}:{last.object_id}" if last else "",
        reasons=REASON_WORDS,
        repairs=REPAIR_WORDS,
        statuses=STATUS_WORDS,
        sweep=sweep,
    )


def _before(typed: str) -> tuple[int, str] | None:
    start, _, sweep = typed.partition(".")
    return (int(start), sweep) if start.isascii() and start.isdigit() and len(start) < 19 else None
