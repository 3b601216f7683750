"""For whoever runs the server: is it well, and what does it do?"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from flux_server.api.dependencies import Clock, DatabaseOf
from flux_server.api.monitoring import Monitoring
from flux_server.environments.revisions import all_revisions
from flux_server.stripe.figures import read_figures

__all__ = ["MonitoringOf", "router"]

router = APIRouter(tags=["operations"])


async def _get_monitoring(request: Request) -> Monitoring:
    return cast("Monitoring", request.app.state.monitoring)


MonitoringOf = Annotated[Monitoring, Depends(_get_monitoring)]


class Health(BaseModel):
    """The server answers, and so does its database."""

    status: str = "ok"


@router.get("/healthz")
async def check_health(database: DatabaseOf) -> Health:
    """Answer 200 if the server can serve requests."""
    async with database.read() as connection:
        await all_revisions(connection)
    return Health()


@router.get("/metrics", response_class=Response)
async def read_monitoring(database: DatabaseOf, clock: Clock, monitoring: MonitoringOf) -> Response:
    """Return the server's own counters in Prometheus' text format."""
    async with database.read() as connection:
        revisions = await all_revisions(connection)
        stripe = await read_figures(connection, clock())
    return Response(monitoring.render(revisions, stripe), media_type="text/plain; version=0.0.4")
