"""Stripe's objects as this connector reads them: parsed once, whichever API version they were written in.

Billing periods stand on the subscription before API version 2025-03-31 and on each item since; a scheduled end
is `cancel_at`, or `cancel_at_period_end` in classic billing mode; older items have a `plan` in place of a
`price`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flux_middleware.snapshot import PauseCollection
from flux_server.stripe.errors import AnswerError
from flux_server.stripe.parsing import id_of, metadata_of, moment, shape, text, words
from flux_server.subscriptions.subscriptions import ItemState, SubscriptionState

__all__ = [
    "StripeCheckout",
    "StripeCustomer",
    "StripeMeter",
    "StripeSubscription",
    "SubscriptionPage",
    "next_look",
    "read_checkout",
    "read_customer",
    "read_meter",
    "read_subscription",
    "read_subscription_page",
]

_RENEWAL = 120  # Stripe needs a moment to renew a subscription whose period is over
_OVERDUE = 3600  # and a renewal that has not come by then is asked for this often
_LONGEST_WORD = 64
_RENEWING = frozenset({"active", "past_due", "trialing"})


@dataclass(frozen=True, slots=True)
class StripeSubscription:
    """A subscription, with what only this connector needs to know of it."""

    state: SubscriptionState
    customer: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StripeCustomer:
    """A customer; of a deleted one nothing else is known."""

    id: str
    metadata: Mapping[str, str]
    deleted: bool = False
    name: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """A page of the list of all subscriptions. Those `unread` do not fit in it: each must be read by itself."""

    found: tuple[StripeSubscription, ...]
    customers: Mapping[str, StripeCustomer]
    unread: tuple[str, ...]
    last: str | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class StripeCheckout:
    """A checkout session: the moment when an application knows both the customer and the organization."""

    customer: str | None
    subscription: str | None
    client_reference: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StripeMeter:
    """What usage is sent to: an event's name, where its payload holds what, and how values combine."""

    id: str
    event_name: str
    customer_key: str
    value_key: str
    formula: str
    time_window: str | None
    active: bool


@shape
def read_subscription(
    data: Mapping[str, Any],
    more_items: Sequence[Mapping[str, Any]] = (),
    invoice: Mapping[str, Any] | None = None,
) -> StripeSubscription:
    """Parse a subscription; `more_items` are those that did not fit in it, `invoice` is its latest, if it was read."""
    items = tuple(_item(item, data) for item in [*data["items"]["data"], *more_items])
    state = SubscriptionState(
        id=text(data["id"]),
        status=text(data["status"])[:_LONGEST_WORD],
        items=items,
        started_at=moment(data.get("start_date") or data.get("created")),
        trial_end=moment(data.get("trial_end")),
        cancel_at=moment(data.get("cancel_at")),
        ended_at=moment(data.get("ended_at")),
        past_due_since=_overdue_since(invoice),
        pause_collection=_pause(data.get("pause_collection")),
    )
    if state.cancel_at is None and data.get("cancel_at_period_end"):
        ends = [item.period_end for item in items if item.period_end is not None]
        state = replace(state, cancel_at=max(ends, default=None))
    customer = id_of(data.get("customer") or data["customer_account"])
    return StripeSubscription(state, customer, metadata_of(data))


def read_subscription_page(data: Sequence[Mapping[str, Any]], *, has_more: bool) -> SubscriptionPage:
    """Parse a page of subscriptions, each with its customer in it; one that cannot be read keeps none from it."""
    found, customers, unread = [], {}, []
    for each in data:
        try:
            subscription = read_subscription(each)
            if isinstance(each.get("customer"), Mapping):
                customers[subscription.customer] = read_customer(each["customer"])
        except AnswerError:
            unread.append(text(each["id"]))
            continue
        if (each.get("items") or {}).get("has_more"):
            unread.append(subscription.state.id)
        else:
            found.append(subscription)
    last = text(data[-1]["id"]) if data else None
    return SubscriptionPage(tuple(found), customers, tuple(unread), last, has_more and last is not None)


def next_look(state: SubscriptionState, now: float, graces: Iterable[int] = ()) -> int | None:
    """Return when the subscription must be read again even if no webhook comes: the next time it changes by itself.

    `graces` are the moments at which patience with a payment that failed ends.
    """
    if state.ended_at is not None:
        return None
    renewals = [item.period_end + _RENEWAL for item in state.items if item.period_end is not None]
    known = (state.trial_end, state.cancel_at, _resumes_at(state))
    at_once = [at for at in known if at is not None]
    # Stripe may not have done yet what was due this very second.
    settled = [at + _RENEWAL for at in at_once]
    moments = [*at_once, *settled, *renewals, *graces]
    overdue = [*renewals, *([] if state.cancel_at is None else [state.cancel_at + _RENEWAL])]
    if state.status in _RENEWING and any(at <= now for at in overdue):
        moments.append(int(now) + _OVERDUE)
    return min((at for at in moments if at > now), default=None)


def _resumes_at(state: SubscriptionState) -> int | None:
    return None if state.pause_collection is None else state.pause_collection.resumes_at


@shape
def read_customer(data: Mapping[str, Any]) -> StripeCustomer:
    """Parse a customer."""
    return StripeCustomer(
        id=text(data["id"]),
        metadata=metadata_of(data),
        deleted=bool(data.get("deleted")),
        name=words(data.get("name")),
        email=words(data.get("email")),
    )


@shape
def read_checkout(data: Mapping[str, Any]) -> StripeCheckout:
    """Parse a checkout session."""
    customer, subscription = data.get("customer"), data.get("subscription")
    return StripeCheckout(
        customer=id_of(customer) if customer else None,
        subscription=id_of(subscription) if subscription else None,
        client_reference=data.get("client_reference_id"),
        metadata=metadata_of(data),
    )


@shape
def read_meter(data: Mapping[str, Any]) -> StripeMeter:
    """Parse a meter."""
    return StripeMeter(
        id=text(data["id"]),
        event_name=text(data["event_name"]),
        customer_key=text(data["customer_mapping"]["event_payload_key"]),
        value_key=text(data["value_settings"]["event_payload_key"]),
        formula=text(data["default_aggregation"]["formula"]),
        time_window=data.get("event_time_window"),
        active=data["status"] == "active",
    )


def _item(item: Mapping[str, Any], subscription: Mapping[str, Any]) -> ItemState:
    sold = item.get("price") or item["plan"]
    product = sold.get("product")
    terms = sold.get("recurring") or sold  # a plan says itself what a price says under `recurring`
    quantity = item.get("quantity")
    return ItemState(
        id=text(item["id"]),
        price=text(sold["id"]),
        quantity=1 if quantity is None else int(quantity),  # a metered item has none
        metered=terms.get("usage_type") == "metered",
        meter=terms.get("meter"),
        period_start=moment(item.get("current_period_start") or subscription.get("current_period_start")),
        period_end=moment(item.get("current_period_end") or subscription.get("current_period_end")),
        lookup_key=sold.get("lookup_key"),
        product=id_of(product) if product else None,
    )


def _overdue_since(invoice: Mapping[str, Any] | None) -> int | None:
    """Return when an unpaid invoice had to be paid: when it was due, or else when it was final and first tried."""
    if not invoice or invoice.get("status") != "open":
        return None
    finalized = (invoice.get("status_transitions") or {}).get("finalized_at")
    return moment(invoice.get("due_date") or finalized)


def _pause(pause: Mapping[str, Any] | None) -> PauseCollection | None:
    if not pause:
        return None
    return PauseCollection(
        text(pause["behavior"])[:_LONGEST_WORD], resumes_at=moment(pause.get("resumes_at"))
    )
