"""The catalog as it stood at a past moment."""

from __future__ import annotations

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import Catalog, Feature, Metric, StatusPolicy, decode
from flux_server.catalog.reading import Plan, catalog_of
from flux_server.environments.history import states_at

__all__ = ["read_catalog_at"]


class _Settings(msgspec.Struct, frozen=True):
    default_plan: str | None = None
    policy: StatusPolicy = StatusPolicy()


async def read_catalog_at(connection: AsyncConnection, environment: str, moment: float) -> Catalog:
    """Return the catalog as workers had it at `moment` (epoch seconds)."""
    states = await states_at(connection, environment, ("feature", "metric", "plan", "settings"), moment)
    in_order = sorted(states.items())
    settings = decode(states.get(("settings", ""), "{}"), _Settings)
    return catalog_of(
        tuple(decode(state, Feature) for (kind, _), state in in_order if kind == "feature"),
        tuple(decode(state, Metric) for (kind, _), state in in_order if kind == "metric"),
        tuple(decode(state, Plan) for (kind, _), state in in_order if kind == "plan"),
        default_plan=settings.default_plan,
        policy=settings.policy,
    )
