"""Events on their way in: whose address they came to, and storing them, many at a time if many come at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.database import Database, insert
from flux_server.stripe.dirty import mark
from flux_server.stripe.events import ObjectRef, StripeEvent, changed_objects, customer_of
from flux_server.stripe.tables import stripe_events, stripe_links, stripe_webhook_secrets

__all__ = ["Arrival", "Receiver", "find_receivers", "store_arrivals", "store_events"]

_ACTOR: Final = "Stripe"


@dataclass(frozen=True, slots=True)
class Receiver:
    """The link that an address belongs to, as far as its webhooks are concerned."""

    environment: str
    livemode: bool
    account: str
    secrets: tuple[bytes, ...]  # as they are stored, the newest first


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that is to be stored, with its body as it came."""

    environment: str
    event: StripeEvent
    body: bytes
    at: int


async def find_receivers(
    database: Database, clock: Callable[[], float], tokens: Sequence[str]
) -> list[Receiver | None]:
    """Return whose address each token makes; None where it is nobody's."""
    links, kept = stripe_links.c, stripe_webhook_secrets.c
    in_force = or_(kept.expires_at.is_(None), kept.expires_at > int(clock()))
    found = (
        select(links.token, links.environment, links.livemode, links.account, kept.secret)
        .select_from(stripe_links)
        .outerjoin(stripe_webhook_secrets, and_(kept.environment == links.environment, in_force))
        .where(links.token.in_(set(tokens)))
        .order_by(kept.added_at.desc(), kept.id)
    )
    async with database.read() as connection:
        rows = (await connection.execute(found)).all()
    secrets: dict[str, list[bytes]] = {}
    for row in rows:
        secrets.setdefault(row.token, []).extend([row.secret] if row.secret is not None else [])
    receivers = {
        row.token: Receiver(row.environment, row.livemode, row.account, tuple(secrets[row.token]))
        for row in rows
    }
    return [receivers.get(token) for token in tokens]


async def store_arrivals(database: Database, arrivals: Sequence[Arrival]) -> list[bool]:
    """Store the events, and mark what they say to look at again, in one transaction; return which are new."""
    async with database.write(_ACTOR) as connection:
        came = await _came_before(connection, arrivals)
        await store_events(connection, arrivals)
        changed: dict[str, set[ObjectRef]] = {}
        for each in arrivals:
            changed.setdefault(each.environment, set()).update(changed_objects(each.event))
        now = max(each.at for each in arrivals)
        for environment, objects in sorted(changed.items()):
            await mark(connection, environment, objects, now)
    names = [(each.environment, each.event.id) for each in arrivals]
    return [name not in came and name not in names[:place] for place, name in enumerate(names)]


async def _came_before(connection: AsyncConnection, arrivals: Sequence[Arrival]) -> set[tuple[str, str]]:
    stored = stripe_events.c
    names = {(each.environment, each.event.id) for each in arrivals}
    found = await connection.execute(
        select(stored.environment, stored.id).where(
            tuple_(stored.environment, stored.id).in_(sorted(names)), stored.deliveries > 0
        )
    )
    return {(row.environment, row.id) for row in found}


async def store_events(
    connection: AsyncConnection, arrivals: Iterable[Arrival], *, deliveries: int = 1
) -> None:
    """Store the events, or count another delivery of those that are there."""
    # In one order everywhere, so that two writers cannot wait for each other.
    ordered = sorted(arrivals, key=lambda each: (each.environment, each.event.id))
    if not ordered:
        return
    again = {"deliveries": stripe_events.c.deliveries + deliveries}
    await connection.execute(
        insert(connection, stripe_events).on_conflict_do_update(
            index_elements=stripe_events.primary_key, set_=again
        ),
        [_row(each, deliveries) for each in ordered],
    )


def _row(arrival: Arrival, deliveries: int) -> dict[str, Any]:
    event = arrival.event
    return {
        "environment": arrival.environment,
        "id": event.id,
        "type": event.type,
        "object_type": _short(event.object.get("object"), 64),
        "object_id": _short(event.object.get("id"), 255),
        "customer": customer_of(event.object),
        "created_at": event.created_at,
        "received_at": arrival.at,
        "deliveries": deliveries,
        "body": arrival.body,
        "kind": event.kind,
        "api_version": event.api_version,
    }


def _short(value: object, length: int) -> str | None:
    # PostgreSQL takes neither NUL nor half of a surrogate pair, and would refuse all that came together for one.
    plain = isinstance(value, str) and value.isascii() and value.isprintable()
    return str(value)[:length] if plain else None
