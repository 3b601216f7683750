"""The link of an environment to a Stripe account, as it is stored and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.stripe.connector import NotLinkedError
from flux_server.stripe.permissions import Permission, permissions_from
from flux_server.stripe.tables import stripe_dirty, stripe_links, stripe_webhook_secrets
from flux_server.stripe.webhook_secrets import forget_secrets

__all__ = [
    "DEFAULT_METADATA_KEY",
    "Link",
    "pause_forwarding",
    "pause_link",
    "read_link",
    "require_link",
    "unlink",
]

DEFAULT_METADATA_KEY: Final = "organization_id"


@dataclass(frozen=True, slots=True)
class Link:
    """An environment's link as it may be shown: of its secrets only the kind and the last four characters."""

    environment: str
    token: str
    account: str
    livemode: bool
    api_key_shown: str
    has_webhook_secret: bool
    is_paused: bool
    paused_reason: str | None
    forwarding_paused: str | None
    metadata_key: str
    created_at: int
    endpoint: str | None
    endpoint_problem: str | None
    permissions: tuple[Permission, ...]
    stripe_entitlements: bool = False

    @property
    def status(self) -> str:
        """Return active, paused (Stripe is not called), or pending_secret (its events cannot be verified yet)."""
        if self.is_paused:
            return "paused"
        return "active" if self.has_webhook_secret else "pending_secret"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what the operator should see to, though the link works."""
        found = []
        if self.api_key_shown.startswith("sk_"):
            found.append(
                "this is a full secret key; a restricted key (rk_…) with the permissions listed here suffices, and "
                "could do less harm"
            )
        if not self.has_webhook_secret:
            found.append(
                "no webhook secret yet: in Stripe, send events to this link's webhook address, then paste the "
                "endpoint's signing secret (whsec_…) here"
            )
        if self.endpoint_problem is not None:
            found.append(f"Flux does not manage a webhook endpoint of its own: {self.endpoint_problem}")
        missing: dict[str, list[str]] = {}
        for each in self.permissions:
            if each.state == "missing":
                missing.setdefault(each.without, []).append(each.name)
        found += [f"the key lacks {', '.join(names)}: {without}" for without, names in missing.items()]
        return tuple(found)


async def read_link(connection: AsyncConnection, environment: str) -> Link | None:
    """Return the environment's link; None if it has none."""
    kept = exists().where(
        stripe_webhook_secrets.c.environment == stripe_links.c.environment,
        stripe_webhook_secrets.c.expires_at.is_(None),
    )
    mine = select(stripe_links, kept.label("has_webhook_secret")).where(
        stripe_links.c.environment == environment
    )
    row = (await connection.execute(mine)).one_or_none()
    return None if row is None else _link(row)


async def require_link(connection: AsyncConnection, environment: str) -> Link:
    """Return the environment's link.

    Raises:
        NotLinkedError: it has none.
    """
    link = await read_link(connection, environment)
    if link is None:
        raise NotLinkedError(environment)
    return link


async def unlink(connection: AsyncConnection, environment: str) -> None:
    """End the link and forget its secrets. What was read of subscriptions stays, and ends when its period does."""
    link = delete(stripe_links).where(stripe_links.c.environment == environment)
    if not (await connection.execute(link)).rowcount:
        raise NotLinkedError(environment)
    await forget_secrets(connection, environment)
    await connection.execute(delete(stripe_dirty).where(stripe_dirty.c.environment == environment))


async def pause_link(connection: AsyncConnection, environment: str, reason: str) -> None:
    """Stop calling Stripe until the link is set again; events are still taken in, and usage is kept."""
    await _update(connection, environment, {"status": "paused", "paused_reason": reason})


async def pause_forwarding(connection: AsyncConnection, environment: str, reason: str) -> None:
    """Stop sending usage until the link is set again; subscriptions are still followed."""
    await _update(connection, environment, {"forwarding_paused": reason})


async def _update(connection: AsyncConnection, environment: str, values: dict[str, Any]) -> None:
    mine = stripe_links.c.environment == environment
    await connection.execute(update(stripe_links).where(mine).values(values))


def _link(row: Any) -> Link:
    return Link(
        environment=row.environment,
        token=row.token,
        account=row.account,
        livemode=row.livemode,
        api_key_shown=row.api_key_shown,
        has_webhook_secret=row.has_webhook_secret,
        is_paused=row.status == "paused",
        paused_reason=row.paused_reason,
        forwarding_paused=row.forwarding_paused,
        metadata_key=row.metadata_key,
        created_at=row.created_at,
        endpoint=row.endpoint,
        endpoint_problem=row.endpoint_problem,
        stripe_entitlements=row.stripe_entitlements,
        permissions=permissions_from(row.permissions),
    )
