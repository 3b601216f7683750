"""From the ledger to the outbox: what of an organization's usage is to be billed, by which meter, to whom.

An hour's bucket may still grow when its usage is first forwarded. Each time it has, another revision of the slot
carries the difference, so what all revisions carry together is the ledger's quantity: never more, in the end
never less. Planning holds the lock under which usage is taken in, so both see one ledger, one after the other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Row, Select, String, Subquery, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.catalog.tables import plan_prices
from flux_server.database import announce, insert, rows
from flux_server.environments.environments import read_environment
from flux_server.environments.revisions import lock
from flux_server.stripe.tables import (
    stripe_forwarded,
    stripe_meters,
    stripe_outbox,
    stripe_subscriptions,
)
from flux_server.subscriptions.matching import sold_as
from flux_server.subscriptions.tables import subscription_items, subscriptions
from flux_server.usage.tables import usage_buckets, usage_standings

__all__ = [
    "OUTBOX_TOPIC",
    "Planned",
    "Target",
    "choose_target",
    "identify",
    "plan_again",
    "plan_forwarding",
]

OUTBOX_TOPIC: Final = "stripe-outbox"

_PAIRS_AT_ONCE = 200
_ACCEPTED_FOR = 35 * 86_400 - 3_600  # Stripe takes usage of the last 35 days
_LARGEST_VALUE = 10**15 - 1
_UNBILLED = ("incomplete", "incomplete_expired")


@dataclass(frozen=True, slots=True)
class Target:
    """A metered item that an organization's usage of a metric can be billed by."""

    organization: str
    metric: str
    item: str
    customer: str
    meter: str
    event_name: str
    customer_key: str
    value_key: str
    started_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Planned:
    """How many rows were written, and whether there may be more to plan."""

    rows: int
    more: bool


async def plan_forwarding(connection: AsyncConnection, environment: str, now: float) -> Planned:
    """Write to the outbox what the ledger holds for Stripe and no row carries yet, for some organizations."""
    await lock(connection, environment, "usage")
    changed = await _changed_pairs(connection, environment)
    if not changed:
        return Planned(0, more=False)
    instance = (await read_environment(connection, environment)).instance
    pairs = [(row.organization, row.metric) for row in changed]
    targets = await _targets(connection, environment, pairs)
    new = [
        _row(environment, instance, target, slot, now)
        for slot in await _uncarried_slots(connection, environment, pairs, int(now) - _ACCEPTED_FOR)
        if (target := choose_target(targets[slot.organization, slot.metric], slot.bucket)) is not None
    ]
    if new:
        await connection.execute(stripe_outbox.insert(), new)
        announce(connection, OUTBOX_TOPIC)
    await _note_forwarded(connection, environment, changed)
    return Planned(len(new), more=len(changed) == _PAIRS_AT_ONCE)


async def plan_again(
    connection: AsyncConnection, environment: str, organizations: Iterable[str] | None = None
) -> None:
    """Have all usage of these organizations (None: of all) looked at again: what it is billed by has changed."""
    mine = stripe_forwarded.c.environment == environment
    if organizations is not None:
        mine = and_(mine, stripe_forwarded.c.organization.in_(list(organizations)))
    await lock(connection, environment, "usage")
    await connection.execute(delete(stripe_forwarded).where(mine))


def choose_target(targets: Sequence[Target], bucket: int) -> Target | None:
    """Return the item that bills the bucket: of the subscription that began first of those running then."""
    running = [
        target
        for target in targets
        if target.started_at <= bucket and (target.ended_at is None or bucket < target.ended_at)
    ]
    return min(running, key=lambda target: (target.started_at, target.item), default=None)


def identify(instance: str, target: Target, bucket: int, revision: int) -> str:
    """Return the identifier under which Stripe counts this revision once; the same whoever works it out."""
    named = (instance, target.organization, target.metric, target.meter, target.customer, bucket, revision)
    digest = hashlib.sha256(msgspec.json.encode(named)).digest()
    return f"fx1_{base64.b32encode(digest).decode().lower()[:40]}"


def _row(environment: str, instance: str, target: Target, slot: Row[Any], now: float) -> dict[str, Any]:
    value, revision = slot.quantity - slot.carried, slot.revision + 1
    too_large = value > _LARGEST_VALUE
    return {
        "identifier": identify(instance, target, slot.bucket, revision),
        "environment": environment,
        "organization": target.organization,
        "metric": target.metric,
        "bucket": slot.bucket,
        "revision": revision,
        "sink": "meter_event",
        "customer": target.customer,
        "meter": target.meter,
        "event_name": target.event_name,
        "payload": msgspec.json.encode(
            {target.customer_key: target.customer, target.value_key: str(value)}
        ).decode(),
        "value": value,
        "timestamp": slot.bucket,
        "state": "dead" if too_large else "pending",
        "attempts": 0,
        "not_before": max(int(now), slot.bucket),  # a host's clock may be ahead; Stripe refuses the future
        "lease_until": 0,
        "error": "Stripe takes values of up to 15 digits" if too_large else None,
        "created_at": int(now),
    }


def _all_targets(environment: str) -> Select[Any]:
    items, meters = subscription_items.c, stripe_meters.c
    return (
        select(
            subscriptions.c.organization,
            plan_prices.c.metric,
            items.id.label("item"),
            stripe_subscriptions.c.customer,
            meters.id.label("meter"),
            meters.event_name,
            meters.customer_key,
            meters.value_key,
            subscriptions.c.started_at,
            subscriptions.c.ended_at,
        )
        .select_from(subscription_items)
        .join(
            subscriptions,
            and_(subscriptions.c.environment == items.environment, subscriptions.c.id == items.subscription),
        )
        .join(
            stripe_subscriptions,
            and_(
                stripe_subscriptions.c.environment == items.environment,
                stripe_subscriptions.c.id == items.subscription,
            ),
        )
        .join(
            plan_prices,
            and_(
                plan_prices.c.environment == items.environment,
                plan_prices.c.price == sold_as(subscription_items),
            ),
        )
        .join(stripe_meters, and_(meters.environment == items.environment, meters.id == items.meter))
        .where(
            items.environment == environment,
            items.metered,
            plan_prices.c.metric.is_not(None),
            subscriptions.c.organization.is_not(None),
            subscriptions.c.started_at.is_not(None),
            subscriptions.c.status.not_in(_UNBILLED),
            # Only a meter that adds values up can be told differences.
            meters.formula == "sum",
            meters.time_window.is_(None),
            meters.active,
        )
    )


async def _changed_pairs(connection: AsyncConnection, environment: str) -> list[Row[Any]]:
    """Return (organization, metric, usage revision) of those with usage since they were planned last."""
    targets = _all_targets(environment).subquery("targets")
    standings, forwarded = usage_standings.c, stripe_forwarded.c
    query = (
        select(targets.c.organization, targets.c.metric, standings.revision)
        .distinct()
        .join(
            usage_standings,
            and_(
                standings.environment == environment,
                standings.organization == targets.c.organization,
                standings.metric == targets.c.metric,
            ),
        )
        .outerjoin(
            stripe_forwarded,
            and_(
                forwarded.environment == environment,
                forwarded.organization == targets.c.organization,
                forwarded.metric == targets.c.metric,
            ),
        )
        .where(or_(forwarded.usage_revision.is_(None), forwarded.usage_revision < standings.revision))
        .order_by(targets.c.organization, targets.c.metric)
        .limit(_PAIRS_AT_ONCE)
    )
    return list(await connection.execute(query))


_Pair = tuple[str, str]


async def _targets(
    connection: AsyncConnection, environment: str, pairs: list[_Pair]
) -> dict[_Pair, list[Target]]:
    query = _all_targets(environment).where(
        subscriptions.c.organization.in_({organization for organization, _ in pairs})
    )
    found: dict[_Pair, list[Target]] = {}
    for row in await connection.execute(query):
        found.setdefault((row.organization, row.metric), []).append(Target(**row._mapping))
    return found


async def _uncarried_slots(
    connection: AsyncConnection, environment: str, pairs: list[_Pair], since: int
) -> list[Row[Any]]:
    """Return the pairs' buckets of which the outbox does not carry everything yet."""
    wanted = rows(connection, {"organization": String(), "metric": String()}, pairs)
    buckets, outbox = usage_buckets.c, stripe_outbox.c
    in_slot = and_(
        outbox.environment == environment,
        outbox.organization == buckets.organization,
        outbox.metric == buckets.metric,
        outbox.bucket == buckets.bucket,
    )
    carried = select(func.coalesce(func.sum(outbox.value), 0)).where(in_slot).scalar_subquery()
    revision = select(func.coalesce(func.max(outbox.revision), 0)).where(in_slot).scalar_subquery()
    slots = (
        select(
            buckets.organization,
            buckets.metric,
            buckets.bucket,
            buckets.quantity,
            # PostgreSQL's sum of whole numbers is a decimal.
            func.cast(carried, BigInteger).label("carried"),
            revision.label("revision"),
        )
        # An outer join: SQLite then begins with what is wanted, not with the whole environment.
        .select_from(wanted.outerjoin(usage_buckets, _same_pair(environment, wanted)))
        .where(buckets.bucket >= since)
        .subquery("slots")
    )
    query = select(slots).where(slots.c.quantity > slots.c.carried).order_by(slots.c.bucket)
    return list(await connection.execute(query))


def _same_pair(environment: str, wanted: Subquery) -> Any:
    return and_(
        usage_buckets.c.environment == environment,
        usage_buckets.c.organization == wanted.c.organization,
        usage_buckets.c.metric == wanted.c.metric,
    )


async def _note_forwarded(connection: AsyncConnection, environment: str, changed: list[Row[Any]]) -> None:
    noted = [
        {
            "environment": environment,
            "organization": row.organization,
            "metric": row.metric,
            "usage_revision": row.revision,
        }
        for row in changed
    ]
    statement = insert(connection, stripe_forwarded).values(noted)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=stripe_forwarded.primary_key,
            set_={"usage_revision": statement.excluded.usage_revision},
        )
    )
