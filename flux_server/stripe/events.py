"""Stripe's events: reading one, and which objects it says to look at again. Pure.

An event is a hint that something changed, never the change itself: events come late, twice, and out of order, so
what counts is the object's present state, read when its turn comes. A snapshot event holds the object as it was; a
thin one names it. Both lead to the same objects, one of them sometimes by way of another object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeGuard

from flux_server.stripe.followed import (
    FOLLOWED_TYPES,
    SNAPSHOT_PATHS,
    SUBSCRIPTION_PATHS,
    THIN_PATHS,
    THIN_TYPES,
)

__all__ = [
    "FOLLOWED_TYPES",
    "THIN_TYPES",
    "ObjectRef",
    "StripeEvent",
    "changed_objects",
    "customer_of",
    "is_followed",
    "named_subscriptions",
    "parse_event",
]

_LONGEST_ID: Final = 255
_LATEST: Final = 2**53


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object at Stripe: its type, in Stripe's word, and its id."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """A webhook's event; `object` is what it is about, of which a thin event tells only the type and the id."""

    id: str
    type: str
    created_at: int
    livemode: bool
    account: str | None
    object: Mapping[str, Any]
    kind: str = "snapshot"
    api_version: str | None = None


def parse_event(body: bytes) -> StripeEvent:
    """Parse a webhook's body, of either kind: it says itself which it is.

    Raises:
        ValueError: it is not an event.
    """
    try:
        data = json.loads(body)
        event = _thin(data) if data.get("object") == "v2.core.event" else _snapshot(data)
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("not an event") from error
    if not (_is_id(event.id) and _is_id(event.type) and isinstance(event.object, Mapping)):
        raise ValueError("not an event")
    if not 0 <= event.created_at < _LATEST:
        raise ValueError("an event of no time")
    return event


def changed_objects(event: StripeEvent) -> tuple[ObjectRef, ...]:
    """Return the objects to look at again; none for an event that Flux does not follow."""
    return tuple(dict.fromkeys(_changed(event)))


def customer_of(subject: Mapping[str, Any]) -> str | None:
    """Return the customer that an event's object is, or belongs to; None if it does not say."""
    found = _at(subject, "id" if subject.get("object") == "customer" else "customer")
    return found if _is_id(found) else None


def named_subscriptions(object_type: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the subscriptions that an object names which is no subscription itself."""
    named = (_at(found, path) for path in SUBSCRIPTION_PATHS[object_type])
    return tuple(dict.fromkeys(name for name in named if _is_id(name)))


def is_followed(event_type: str) -> bool:
    """Return whether an event of the type says to look at something, rather than being stored and left alone."""
    return event_type in SNAPSHOT_PATHS or event_type in THIN_PATHS


def _snapshot(data: Any) -> StripeEvent:
    return StripeEvent(
        id=data["id"],
        type=data["type"],
        created_at=int(data["created"]),
        livemode=bool(data["livemode"]),
        account=data.get("account"),
        object=data["data"]["object"],
        api_version=_text(data.get("api_version")),
    )


def _thin(data: Any) -> StripeEvent:
    # The URL of the related object is never asked: what to read is made from its type and id.
    related = data.get("related_object") or {}
    return StripeEvent(
        id=data["id"],
        type=data["type"],
        created_at=int(datetime.fromisoformat(data["created"]).timestamp()),
        livemode=bool(data["livemode"]),
        account=_account(data.get("context")),
        object={"object": related.get("type"), "id": related.get("id")},
        kind="thin",
    )


def _account(context: object) -> str | None:
    """Return the account of a context, which is its path from the organization down."""
    return context.rpartition("/")[2] if isinstance(context, str) and context else None


def _changed(event: StripeEvent) -> Iterator[ObjectRef]:
    paths = THIN_PATHS if event.kind == "thin" else SNAPSHOT_PATHS
    for object_type, path in paths.get(event.type, ()):
        found = path[1:] if path.startswith("=") else _at(event.object, path)
        if _is_id(found):
            yield ObjectRef(object_type, found)


def _at(subject: Mapping[str, Any], path: str) -> Any:
    found: Any = subject
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found.get("id") if isinstance(found, Mapping) else found  # expanded


def _is_id(value: object) -> TypeGuard[str]:
    # Of plain characters only: databases differ in what else they take.
    return (
        isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isascii() and value.isprintable()
    )


def _text(value: object) -> str | None:
    return value[:64] if _is_id(value) else None
