"""How what Stripe says differs from what Flux believed, and the reports of sweeps that found such a thing.

What was marked to be read anyway is no drift: it was known to have changed. Drift is what nobody had told: a webhook
was lost, or Stripe never sent one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_middleware.snapshot import PauseCollection
from flux_server.database import insert, one_of
from flux_server.stripe.tables import stripe_drift, stripe_subscriptions
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState, read_pause
from flux_server.subscriptions.tables import subscription_items, subscriptions

__all__ = [
    "Difference",
    "Drift",
    "Known",
    "compare",
    "list_drift",
    "read_known",
    "save_drift",
]

_FIELDS: Final = ("status", "started_at", "trial_end", "cancel_at", "ended_at")
_ITEM_FIELDS: Final = tuple(field.name for field in fields(ItemState) if field.name != "id")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of an object: what Flux believed, and what Stripe says."""

    field: str
    before: str | int | bool | None
    after: str | int | bool | None


@dataclass(frozen=True, slots=True)
class Drift:
    """An object that was not as Flux believed; `since`: when Flux last read it, it has changed after that.

    `repair` says what was done about it: `saved` as it is, `ended`, or `added`.
    """

    object_type: str
    object_id: str
    organization: str | None
    differences: tuple[Difference, ...]
    since: int | None
    repair: str
    found_at: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What Flux believes of a subscription, from its read of this number; it named its organization so."""

    state: SubscriptionState
    customer: str
    named: str | None
    read: int
    read_at: int


async def read_known(connection: AsyncConnection, environment: str, ids: Iterable[str]) -> dict[str, Known]:
    """Return what is believed of those of the subscriptions that were read before, by their ids."""
    wanted = set(ids)
    found = await connection.execute(
        select(
            subscriptions,
            stripe_subscriptions.c.customer,
            stripe_subscriptions.c.organization.label("named"),
            stripe_subscriptions.c.read,
        )
        .join(
            stripe_subscriptions,
            (stripe_subscriptions.c.environment == subscriptions.c.environment)
            & (stripe_subscriptions.c.id == subscriptions.c.id),
        )
        .where(subscriptions.c.environment == environment, subscriptions.c.id.in_(one_of(connection, wanted)))
    )
    rows = {row.id: row for row in found}
    items: dict[str, list[ItemState]] = {name: [] for name in rows}
    of_these = subscription_items.c.subscription.in_(one_of(connection, rows))
    for item in await connection.execute(
        select(subscription_items).where(subscription_items.c.environment == environment, of_these)
    ):
        items[item.subscription].append(_item(item))
    return {name: _known(row, tuple(items[name])) for name, row in rows.items()}


def compare(
    known: Known, state: SubscriptionState, customer: str, named: str | None
) -> tuple[Difference, ...]:
    """Return in what the subscription is not as Flux believed."""
    before = known.state
    pairs = [
        *((name, getattr(before, name), getattr(state, name)) for name in _FIELDS),
        *_pause_pairs(before.pause_collection, state.pause_collection),
        *_overdue_pairs(before.past_due_since, state.past_due_since),
        *_item_pairs(before.items, state.items),
        ("customer", known.customer, customer),
        ("organization it names", known.named, named),
    ]
    return tuple(Difference(*pair) for pair in pairs if pair[1] != pair[2])


async def save_drift(
    connection: AsyncConnection, environment: str, sweep: str, found: Iterable[Drift], now: float
) -> int:
    """Add what the sweep found to its report; return how much that is."""
    rows = [
        {
            "environment": environment,
            "sweep": sweep,
            "object_type": each.object_type,
            "object_id": each.object_id,
            "organization": each.organization,
            "differences": msgspec.json.encode(
                [[d.field, d.before, d.after] for d in each.differences]
            ).decode(),
            "since": each.since,
            "found_at": int(now),
            "repair": each.repair,
        }
        for each in found
    ]
    if rows:  # a sweep that was cut off may find a thing twice
        await connection.execute(insert(connection, stripe_drift).on_conflict_do_nothing(), rows)
    return len(rows)


async def list_drift(
    connection: AsyncConnection,
    environment: str,
    sweep: str | None = None,
    *,
    after: tuple[str, str] = ("", ""),
    limit: int = 50,
) -> tuple[Drift, ...]:
    """Return what the sweep found, in the order of types and ids, from after that one; None: the newest of all."""
    columns = stripe_drift.c
    query = select(stripe_drift).where(columns.environment == environment).limit(limit)
    if sweep is None:
        query = query.order_by(columns.found_at.desc(), columns.object_type, columns.object_id)
    else:
        later = (columns.object_type > after[0]) | (
            (columns.object_type == after[0]) & (columns.object_id > after[1])
        )
        query = query.where(columns.sweep == sweep, later).order_by(columns.object_type, columns.object_id)
    return tuple(_drift(row) for row in await connection.execute(query))


def _drift(row: Row[Any]) -> Drift:
    return Drift(
        object_type=row.object_type,
        object_id=row.object_id,
        organization=row.organization,
        differences=tuple(Difference(*each) for each in msgspec.json.decode(row.differences)),
        since=row.since,
        repair=row.repair,
        found_at=row.found_at,
    )


def _known(row: Row[Any], items: tuple[ItemState, ...]) -> Known:
    state = SubscriptionState(
        id=row.id,
        status=row.unknown_status or row.status,
        organization=row.organization,
        items=items,
        started_at=row.started_at,
        trial_end=row.trial_end,
        cancel_at=row.cancel_at,
        ended_at=row.ended_at,
        past_due_since=row.past_due_since,
        pause_collection=read_pause(row),
    )
    return Known(state, row.customer, row.named, row.read, row.synced_at)


def _item(row: Row[Any]) -> ItemState:
    return ItemState(row.id, **{name: getattr(row, name) for name in _ITEM_FIELDS})


def _overdue_pairs(before: int | None, after: int | None) -> Iterator[tuple[str, Any, Any]]:
    # Only a single read tells it, and what was seen first stays.
    if after is not None and (before is None or after < before):
        yield "past_due_since", before, after


def _pause_pairs(
    before: PauseCollection | None, after: PauseCollection | None
) -> Iterator[tuple[str, Any, Any]]:
    for name in ("behavior", "resumes_at"):  # not since when: nobody but Flux noted that
        yield f"pause_collection.{name}", getattr(before, name, None), getattr(after, name, None)


def _item_pairs(before: Iterable[ItemState], after: Iterable[ItemState]) -> Iterator[tuple[str, Any, Any]]:
    old = {item.id: item for item in before}
    new = {item.id: item for item in after}
    for name in sorted(old.keys() | new.keys()):
        if name in old and name in new:
            for field in _ITEM_FIELDS:
                yield f"{name}.{field}", getattr(old[name], field), getattr(new[name], field)
        else:
            yield name, _sold(old.get(name)), _sold(new.get(name))


def _sold(item: ItemState | None) -> str | None:
    return None if item is None else f"{item.quantity} of {item.price}"
