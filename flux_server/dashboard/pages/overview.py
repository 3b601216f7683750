"""What is there, how it is, and what is to be done next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.reading import Plan, list_features, list_metrics, list_plans
from flux_server.dashboard.visits import EnvironmentsVisit
from flux_server.environments.api_keys import ApiKey, list_api_keys
from flux_server.organizations.organizations import count_organizations
from flux_server.stripe.link import Link, read_link
from flux_server.stripe.outbox import count_outbox
from flux_server.stripe.reading import list_events, list_unknown_customers
from flux_server.subscriptions.reading import list_unmapped_prices

__all__ = ["router"]

router = APIRouter(default_response_class=Response)

_MOST = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do before an application can ask: where, and whether it is done."""

    title: str
    page: str
    done: bool
    more: str


@router.get("/{environment}")
async def show_overview(visit: EnvironmentsVisit) -> Response:
    """Show the environment at a glance."""
    async with visit.read() as connection:
        features = await list_features(connection, visit.key)
        metrics = await list_metrics(connection, visit.key)
        plans = await list_plans(connection, visit.key)
        keys = [key for key in await list_api_keys(connection, visit.key) if key.revoked_at is None]
        link = await read_link(connection, visit.key)
        organizations = await count_organizations(connection, visit.key)
        stripe = await _stripe(connection, visit.key)
    steps = _steps(link, bool(features), plans, keys)
    return visit.page(
        "overview.html",
        section="",
        figures=_figures(organizations, plans, len(features), len(metrics), len(keys)),
        link=link,
        steps=[] if all(step.done for step in steps) else steps,
        url=visit.site.settings.url,
        **stripe,
    )


async def _stripe(connection: AsyncConnection, environment: str) -> dict[str, Any]:
    events = await list_events(connection, environment, 1)
    return {
        "last_event": events[0] if events else None,
        "outbox": await count_outbox(connection, environment),
        "unknown_customers": await list_unknown_customers(connection, environment, _MOST),
        "unmapped_prices": await list_unmapped_prices(connection, environment, _MOST),
    }


def _figures(
    organizations: int, plans: tuple[Plan, ...], features: int, metrics: int, keys: int
) -> list[tuple[int, str, str]]:
    """Return (how many, of what, on which page)."""
    published = sum(bool(plan.versions) for plan in plans)
    return [
        (organizations, "organization" if organizations == 1 else "organizations", "organizations"),
        (published, "published plan" if published == 1 else "published plans", "plans"),
        (features, "feature" if features == 1 else "features", "features"),
        (metrics, "metric" if metrics == 1 else "metrics", "features"),
        (keys, "API key" if keys == 1 else "API keys", "api-keys"),
    ]


def _steps(link: Link | None, has_features: bool, plans: tuple[Plan, ...], keys: list[ApiKey]) -> list[Step]:
    return [
        Step(
            "Define what you sell",
            "features",
            has_features,
            "Features are what plans grant, like sso or seats; metrics are what is counted, like api-calls.",
        ),
        Step(
            "Publish a plan",
            "plans",
            any(plan.versions for plan in plans),
            "A plan grants features, and is sold by prices in Stripe.",
        ),
        Step(
            "Link Stripe",
            "stripe",
            link is not None and link.has_webhook_secret,
            "Paste a key and a webhook secret; subscriptions then become entitlements by themselves.",
        ),
        Step(
            "Make an API key",
            "api-keys",
            any(key.scope in ("sdk", "admin") for key in keys),
            "Your application asks and counts with it.",
        ),
    ]
