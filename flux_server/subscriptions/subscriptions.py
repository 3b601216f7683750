"""Subscriptions as last read from the payment processor, each item matched to the plan version it was bought as."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Row, String, Table, and_, cast, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import PauseCollection, Subscription, SubscriptionItem, plan_version_id
from flux_server.catalog.tables import plan_versions
from flux_server.database import insert, one_of
from flux_server.environments.revisions import lock
from flux_server.subscriptions.matching import match_price
from flux_server.subscriptions.tables import subscription_items, subscriptions

__all__ = [
    "KNOWN_STATUSES",
    "ItemState",
    "SubscriptionState",
    "assign_subscriptions",
    "count_plan_subscribers",
    "count_subscribers",
    "read_pause",
    "read_subscriptions",
    "read_subscriptions_of",
    "save_subscription",
    "save_subscriptions",
]

KNOWN_STATUSES: Final = frozenset(
    {
        "active",
        "canceled",
        "incomplete",
        "incomplete_expired",
        "past_due",
        "paused",
        "trialing",
        "unpaid",
    }
)
"""Statuses that the rules know; any other keeps the decision that stood before it."""


@dataclass(frozen=True, slots=True)
class ItemState:
    """One line of a subscription, as the processor has it now; `meter` is what its metered price bills by.

    `lookup_key` and `product` are its price's.
    """

    id: str
    price: str
    quantity: int = 1
    metered: bool = False
    meter: str | None = None
    period_start: int | None = None
    period_end: int | None = None
    lookup_key: str | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """A subscription, as the processor has it now; no `organization` while nobody knows whose it is.

    Without `past_due_since`, a subscription is past due since it was first seen to be; likewise a pause.
    """

    id: str
    status: str
    organization: str | None = None
    items: tuple[ItemState, ...] = ()
    started_at: int | None = None
    trial_end: int | None = None
    cancel_at: int | None = None
    ended_at: int | None = None
    past_due_since: int | None = None
    pause_collection: PauseCollection | None = None


async def save_subscription(
    connection: AsyncConnection, environment: str, state: SubscriptionState, now: float
) -> set[str]:
    """Store what the processor says; return the organizations whose records must be refreshed.

    The organization must exist (`ensure_organization`). Saving the same state again changes nothing.
    """
    return await save_subscriptions(connection, environment, [state], now)


async def save_subscriptions(
    connection: AsyncConnection, environment: str, states: Sequence[SubscriptionState], now: float
) -> set[str]:
    """Store several subscriptions, each once, as `save_subscription` does."""
    if not states:
        return set()
    await lock(connection, environment)
    before = await _stored(connection, environment, [state.id for state in states])
    rows = [
        {"environment": environment, "id": state.id} | _values(state, before.get(state.id), now)
        for state in states
    ]
    await _upsert(connection, subscriptions, rows)
    await _save_items(connection, environment, states)
    owners = {state.organization for state in states} | {row.organization for row in before.values()}
    return {owner for owner in owners if owner is not None}


async def read_subscriptions(
    connection: AsyncConnection, environment: str, organization: str
) -> tuple[Subscription, ...]:
    """Return the organization's subscriptions as workers receive them: items that a plan matches."""
    found = await read_subscriptions_of(connection, environment, [organization])
    return found.get(organization, ())


async def read_subscriptions_of(
    connection: AsyncConnection, environment: str, organizations: Iterable[str]
) -> dict[str, tuple[Subscription, ...]]:
    """Return, as `read_subscriptions` does, those of several organizations that have any."""
    # Sorted here: asked for an order, SQLite would go through the whole environment in that order.
    found = await connection.execute(
        select(subscriptions).where(
            subscriptions.c.environment == environment,
            subscriptions.c.organization.in_(one_of(connection, organizations)),
        )
    )
    rows = sorted(found, key=_by_id)
    items: dict[str, list[SubscriptionItem]] = {row.id: [] for row in rows}
    matched = await connection.execute(
        select(subscription_items).where(
            subscription_items.c.environment == environment,
            subscription_items.c.subscription.in_(one_of(connection, items)),
            subscription_items.c.plan_version.is_not(None),
        )
    )
    for item in sorted(matched, key=_by_id):
        items[item.subscription].append(_item(item))
    theirs: dict[str, list[Subscription]] = {}
    for row in rows:
        theirs.setdefault(row.organization, []).append(_subscription(row, tuple(items[row.id])))
    return {organization: tuple(each) for organization, each in theirs.items()}


_by_id = attrgetter("id")


async def assign_subscriptions(
    connection: AsyncConnection, environment: str, ids: Iterable[str], organization: str | None
) -> set[str]:
    """Say whose the subscriptions are; return the organizations whose records must be refreshed.

    The organization must exist (`ensure_organization`); None: nobody knows whose they are.
    """
    await lock(connection, environment)
    theirs = (subscriptions.c.environment == environment) & subscriptions.c.id.in_(list(ids))
    found = await connection.execute(select(subscriptions.c.organization).where(theirs).distinct())
    owners = {organization, *found.scalars()}
    await connection.execute(update(subscriptions).where(theirs).values(organization=organization))
    return {owner for owner in owners if owner is not None}


async def count_subscribers(connection: AsyncConnection, environment: str, plan: str) -> dict[str, int]:
    """Return how many organizations subscribe to each version (its id) of the plan."""
    versions = select(plan_versions.c.version).where(
        plan_versions.c.environment == environment, plan_versions.c.plan == plan
    )
    ids = [plan_version_id(plan, version) for version in (await connection.execute(versions)).scalars()]
    rows = await connection.execute(
        select(
            subscription_items.c.plan_version,
            func.count(func.distinct(subscriptions.c.organization)).label("organizations"),
        )
        .join(subscriptions, _same_subscription)
        .where(
            subscription_items.c.environment == environment,
            subscription_items.c.plan_version.in_(ids),
            subscriptions.c.ended_at.is_(None),
        )
        .group_by(subscription_items.c.plan_version)
    )
    return {row.plan_version: int(row.organizations) for row in rows}


async def count_plan_subscribers(
    connection: AsyncConnection, environment: str, plans: Collection[str]
) -> dict[str, int]:
    """Return how many organizations subscribe to each of the plans, whichever version they have."""
    version_id = plan_versions.c.plan.concat("@").concat(cast(plan_versions.c.version, String))
    rows = await connection.execute(
        select(
            plan_versions.c.plan,
            func.count(func.distinct(subscriptions.c.organization)).label("organizations"),
        )
        .join(
            subscription_items,
            and_(
                subscription_items.c.environment == plan_versions.c.environment,
                subscription_items.c.plan_version == version_id,
            ),
        )
        .join(subscriptions, _same_subscription)
        .where(
            plan_versions.c.environment == environment,
            plan_versions.c.plan.in_(plans),
            subscriptions.c.ended_at.is_(None),
        )
        .group_by(plan_versions.c.plan)
    )
    return dict.fromkeys(plans, 0) | {row.plan: int(row.organizations) for row in rows}


_same_subscription = and_(
    subscriptions.c.environment == subscription_items.c.environment,
    subscriptions.c.id == subscription_items.c.subscription,
)


async def _stored(connection: AsyncConnection, environment: str, ids: Iterable[str]) -> dict[str, Row[Any]]:
    query = select(subscriptions).where(
        subscriptions.c.environment == environment, subscriptions.c.id.in_(one_of(connection, ids))
    )
    return {row.id: row for row in await connection.execute(query)}


async def _upsert(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        statement = insert(connection, table)
        new = {name: statement.excluded[name] for name in rows[0] if name not in ("environment", "id")}
        keys = ["environment", "id"]
        await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), list(rows))


def _values(state: SubscriptionState, before: Row[Any] | None, now: float) -> dict[str, Any]:
    known = state.status in KNOWN_STATUSES
    status = state.status if known or before is None else before.status
    return {
        "organization": state.organization,
        "status": status,
        "unknown_status": None if known else state.status,
        "started_at": state.started_at,
        "trial_end": state.trial_end,
        "cancel_at": state.cancel_at,
        "ended_at": state.ended_at,
        "past_due_since": _past_due_since(status, state, before, now),
        **_pause_values(state.pause_collection, before, now),
        "synced_at": int(now),
    }


def _past_due_since(status: str, state: SubscriptionState, before: Row[Any] | None, now: float) -> int | None:
    """Without a beginning the grace would never end; the beginning that was seen first stays.

    What became unpaid is past due still: a policy may give it what is left of the grace.
    """
    if status not in ("past_due", "unpaid"):
        return None
    # The processor tells of the latest payment that failed, which need not be the first of them.
    seen = None if before is None else before.past_due_since
    known = [since for since in (state.past_due_since, seen) if since is not None]
    return min(known, default=int(now))


def _pause_values(
    pause: PauseCollection | None, before: Row[Any] | None, now: float
) -> dict[str, str | int | None]:
    if pause is None:
        return {"pause_behavior": None, "pause_since": None, "pause_resumes_at": None}
    first_seen = None if before is None else before.pause_since
    return {
        "pause_behavior": pause.behavior,
        "pause_since": pause.since or first_seen or int(now),
        "pause_resumes_at": pause.resumes_at,
    }


async def _save_items(
    connection: AsyncConnection, environment: str, states: Sequence[SubscriptionState]
) -> None:
    of_these = one_of(connection, [state.id for state in states])
    mine = (subscription_items.c.environment == environment) & subscription_items.c.subscription.in_(of_these)
    before = {row.id: row for row in await connection.execute(select(subscription_items).where(mine))}
    items = [(state.id, item) for state in states for item in state.items]
    gone = before.keys() - {item.id for _, item in items}
    if gone:
        ids = subscription_items.c.id.in_(one_of(connection, gone))
        await connection.execute(delete(subscription_items).where(mine, ids))
    matched: dict[ItemState, str | None] = {}
    rows = []
    for subscription, item in items:
        version = await _plan_version(connection, environment, item, before.get(item.id), matched)
        row = {"environment": environment, "subscription": subscription, "plan_version": version}
        rows.append(row | asdict(item))
    await _upsert(connection, subscription_items, rows)


async def _plan_version(
    connection: AsyncConnection,
    environment: str,
    item: ItemState,
    before: Row[Any] | None,
    matched: dict[ItemState, str | None],
) -> str | None:
    """Keep the version the item was bought as; an item whose price changed was bought anew.

    `matched` remembers what was found for items that are sold alike.
    """
    if before is not None and before.plan_version is not None and before.price == item.price:
        return str(before.plan_version)
    sold = ItemState("", item.price, lookup_key=item.lookup_key, product=item.product)
    if sold not in matched:
        found = await match_price(connection, environment, item.price, item.lookup_key, item.product)
        matched[sold] = None if found is None else found.plan_version
    return matched[sold]


def read_pause(row: Row[Any]) -> PauseCollection | None:
    """Return since when, and until when, nothing is collected for the stored subscription; None if all is."""
    if row.pause_behavior is None:
        return None
    return PauseCollection(row.pause_behavior, row.pause_since, row.pause_resumes_at)


def _subscription(row: Row[Any], items: tuple[SubscriptionItem, ...]) -> Subscription:
    return Subscription(
        id=row.id,
        status=row.status,
        items=items,
        started_at=row.started_at,
        trial_end=row.trial_end,
        cancel_at=row.cancel_at,
        ended_at=row.ended_at,
        past_due_since=row.past_due_since,
        pause_collection=read_pause(row),
        unknown_status=row.unknown_status or "",
    )


def _item(row: Row[Any]) -> SubscriptionItem:
    return SubscriptionItem(
        id=row.id,
        plan_version=row.plan_version,
        quantity=row.quantity,
        price=row.price,
        metered=row.metered,
        period_start=row.period_start,
        period_end=row.period_end,
    )
