"""What is there, and what is to be done next."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flux_server.dashboard.visits import EnvironmentsVisit

__all__ = ["router"]

router = APIRouter(default_response_class=Response)


@router.get("/{environment}")
async def show_overview(visit: EnvironmentsVisit) -> Response:
    """Show the environment at a glance."""
    return visit.page("overview.html", section="")
