"""The application: every room of the server, wired together."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute

from flux_middleware.clock import FollowedClock
from flux_server.api import (
    bulk,
    catalog_document,
    entitlements,
    environments,
    features,
    history,
    operations,
    organizations,
    overrides,
    plans,
    policies,
    snapshot,
    stream,
    stripe,
    stripe_events,
    stripe_health,
    stripe_mapping,
    stripe_sync,
    stripe_webhooks,
    usage,
)
from flux_server.api.idempotency import IdempotentWrites
from flux_server.api.monitoring import Monitoring
from flux_server.api.openapi import describe
from flux_server.api.preconditions import install_not_modified
from flux_server.api.problems import FailedRequests, install_problem_handlers
from flux_server.api.requests import BodyLimit, CountedRequests, EncodedOrganizations
from flux_server.api.stream import Streams
from flux_server.clock import Timekeeper
from flux_server.dashboard.app import WithDashboard, create_dashboard
from flux_server.database import Database
from flux_server.environments.environments import ensure_environment
from flux_server.environments.jobs import Watch, environment_jobs
from flux_server.errors import StartError
from flux_server.jobs.runner import Job, run_jobs
from flux_server.migrations.upgrade import upgrade
from flux_server.organizations.jobs import organization_jobs
from flux_server.settings import Settings, prepare
from flux_server.stripe.connector import Connector
from flux_server.stripe.jobs import stripe_jobs
from flux_server.stripe.real_time import require_real_time

__all__ = ["ENVIRONMENTS", "create_app", "open_database"]

ENVIRONMENTS = ("live", "test")
"""Environments that every server has."""

_SNAPSHOTS_AT_ONCE = 4
_CLOCK_INTERVAL = 0.25  # before the clients do: their usage of a day that is still to come would be refused


def create_app(settings: Settings, *, clock: Callable[[], float] = time.time) -> FastAPI:
    """Return the server as an ASGI application; nothing is opened before it starts up."""
    settings = prepare(settings)
    wall, timekeeper = clock, None
    if settings.clock_url:
        clock = followed = FollowedClock(wall)
        timekeeper = Timekeeper(settings.clock_url, followed)
    app = FastAPI(
        title="Flux",
        version=version("flux-middleware"),
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.timekeeper = timekeeper
    app.state.monitoring = Monitoring()
    app.state.snapshot_turns = asyncio.Semaphore(_SNAPSHOTS_AT_ONCE)
    app.state.database = _database(settings)
    app.state.watch = Watch(app.state.database)
    app.state.streams = Streams(app.state.database.bell, app.state.watch)
    drifted = app.state.monitoring.note_drift
    app.state.stripe = Connector(app.state.database, settings, clock, wall=wall, on_drift=drifted)
    app.state.stripe = Connector(
        app.state.database, settings, clock, wall=wall, count_webhook=app.state.monitoring.count_webhook
    )
    app.state.dashboard = create_dashboard(settings, app.state.stripe, clock, wall)
    install_problem_handlers(app)
    install_not_modified(app)
    app.add_middleware(WithDashboard, dashboard=app.state.dashboard)
    app.add_middleware(IdempotentWrites, database=app.state.database, box=app.state.stripe.box, clock=clock)
    app.add_middleware(BodyLimit)
    app.add_middleware(FailedRequests)
    app.add_middleware(EncodedOrganizations)
    app.add_middleware(CountedRequests, monitoring=app.state.monitoring)
    for api in (
        stripe_webhooks,  # routes are tried in order, and no other is asked for so often at once
        environments,
        catalog_document,
        features,
        plans,
        policies,
        organizations,
        entitlements,
        overrides,
        history,
        bulk,
        snapshot,
        stream,
        usage,
        stripe,
        stripe_sync,
        stripe_mapping,
        stripe_events,
        stripe_health,
        operations,
    ):
        app.include_router(api.router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # as FastAPI documents it
    return app


@asynccontextmanager
async def open_database(settings: Settings, clock: Callable[[], float]) -> AsyncIterator[Database]:
    """Open the database for the length of the block, migrated, with its environments."""
    database = _database(settings)
    try:
        await _prepare_database(database, clock)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    database: Database = app.state.database
    connector: Connector = app.state.stripe
    timekeeper: Timekeeper | None = app.state.timekeeper
    try:
        await _prepare_database(database, app.state.clock)
        async with database.read() as connection:
            await require_real_time(connection, app.state.settings)
        if timekeeper is not None:
            await timekeeper.run()  # so that no job begins in the past
        jobs = [
            *([Job("clock", (), _CLOCK_INTERVAL, timekeeper.run)] if timekeeper is not None else ()),
            *environment_jobs(database, app.state.watch, app.state.clock),
            *organization_jobs(database, app.state.clock),
            *stripe_jobs(connector),
        ]
        async with run_jobs(jobs, database.bell):
            yield
            app.state.streams.close()
    finally:
        if timekeeper is not None:
            await timekeeper.close()
        await connector.close()
        await database.close()


async def _prepare_database(database: Database, clock: Callable[[], float]) -> None:
    await upgrade(database)
    async with database.write() as connection:
        for environment in ENVIRONMENTS:
            await ensure_environment(connection, environment, clock())


def _database(settings: Settings) -> Database:
    try:
        return Database(settings.database)
    except ModuleNotFoundError as error:
        raise StartError(
            f"FLUX_DATABASE_URL needs the package {error.name!r}: pip install 'flux-middleware[postgres]'"
        ) from error


def _operation_id(route: APIRoute) -> str:
    # Callers rely on these names. `one` and the like only tell a route from what it calls.
    return re.sub(r"_(all|one|own|some)_", "_", route.name)
