"""Stripe's objects as this connector reads them: parsed once, whichever API version they were written in.

Billing periods stand on the subscription before API version 2025-03-31 and on each item since; a scheduled end
is `cancel_at`, or `cancel_at_period_end` in classic billing mode; older items have a `plan` in place of a
`price`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flux_middleware.snapshot import PauseCollection
from flux_server.stripe.errors import AnswerError
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

P = ParamSpec("P")
T = TypeVar("T")

_RENEWAL = 120  # Stripe needs a moment to renew a subscription whose period is over
_OVERDUE = 3600  # and a renewal that has not come by then is asked for this often
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


def _shape(parse: Callable[P, T]) -> Callable[P, T]:
    """Turn what a misshapen object does to `parse` into an AnswerError."""

    @wraps(parse)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return parse(*args, **kwargs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = parse.__name__.removeprefix("read_")
            raise AnswerError(f"Stripe's {what} is not of a shape that Flux knows: {error!r}") from error

    return checked


@_shape
def read_subscription(
    data: Mapping[str, Any], more_items: Sequence[Mapping[str, Any]] = ()
) -> StripeSubscription:
    """Parse a subscription; `more_items` are those that did not fit in it."""
    items = tuple(_item(item, data) for item in [*data["items"]["data"], *more_items])
    state = SubscriptionState(
        id=_text(data["id"]),
        status=_text(data["status"]),
        items=items,
        started_at=_moment(data.get("start_date") or data.get("created")),
        trial_end=_moment(data.get("trial_end")),
        cancel_at=_moment(data.get("cancel_at")),
        ended_at=_moment(data.get("ended_at")),
        pause_collection=_pause(data.get("pause_collection")),
    )
    if state.cancel_at is None and data.get("cancel_at_period_end"):
        ends = [item.period_end for item in items if item.period_end is not None]
        state = replace(state, cancel_at=max(ends, default=None))
    customer = _id(data.get("customer") or data["customer_account"])
    return StripeSubscription(state, customer, _metadata(data))


def read_subscription_page(data: Sequence[Mapping[str, Any]], *, has_more: bool) -> SubscriptionPage:
    """Parse a page of subscriptions, each with its customer in it; one that cannot be read keeps none from it."""
    found, customers, unread = [], {}, []
    for each in data:
        try:
            subscription = read_subscription(each)
            if isinstance(each.get("customer"), Mapping):
                customers[subscription.customer] = read_customer(each["customer"])
        except AnswerError:
            unread.append(_text(each["id"]))
            continue
        if (each.get("items") or {}).get("has_more"):
            unread.append(subscription.state.id)
        else:
            found.append(subscription)
    last = _text(data[-1]["id"]) if data else None
    return SubscriptionPage(tuple(found), customers, tuple(unread), last, has_more and last is not None)


def next_look(state: SubscriptionState, now: float, graces: Iterable[int] = ()) -> int | None:
    """Return when the subscription must be read again even if no webhook comes: the next time it changes by itself.

    `graces` are the moments at which patience with a payment that failed ends.
    """
    if state.ended_at is not None:
        return None
    renewals = [item.period_end + _RENEWAL for item in state.items if item.period_end is not None]
    at_once = [
        moment for moment in (state.trial_end, state.cancel_at, _resumes_at(state)) if moment is not None
    ]
    # Stripe may not have done yet what was due this very second.
    settled = [moment + _RENEWAL for moment in at_once]
    moments = [*at_once, *settled, *renewals, *graces]
    overdue = [*renewals, *([] if state.cancel_at is None else [state.cancel_at + _RENEWAL])]
    if state.status in _RENEWING and any(moment <= now for moment in overdue):
        moments.append(int(now) + _OVERDUE)
    return min((moment for moment in moments if moment > now), default=None)


def _resumes_at(state: SubscriptionState) -> int | None:
    return None if state.pause_collection is None else state.pause_collection.resumes_at


@_shape
def read_customer(data: Mapping[str, Any]) -> StripeCustomer:
    """Parse a customer."""
    return StripeCustomer(
        id=_text(data["id"]),
        metadata=_metadata(data),
        deleted=bool(data.get("deleted")),
        name=_words(data.get("name")),
        email=_words(data.get("email")),
    )


@_shape
def read_checkout(data: Mapping[str, Any]) -> StripeCheckout:
    """Parse a checkout session."""
    customer, subscription = data.get("customer"), data.get("subscription")
    return StripeCheckout(
        customer=_id(customer) if customer else None,
        subscription=_id(subscription) if subscription else None,
        client_reference=data.get("client_reference_id"),
        metadata=_metadata(data),
    )


@_shape
def read_meter(data: Mapping[str, Any]) -> StripeMeter:
    """Parse a meter."""
    return StripeMeter(
        id=_text(data["id"]),
        event_name=_text(data["event_name"]),
        customer_key=_text(data["customer_mapping"]["event_payload_key"]),
        value_key=_text(data["value_settings"]["event_payload_key"]),
        formula=_text(data["default_aggregation"]["formula"]),
        time_window=data.get("event_time_window"),
        active=data["status"] == "active",
    )


def _item(item: Mapping[str, Any], subscription: Mapping[str, Any]) -> ItemState:
    sold = item.get("price") or item["plan"]
    terms = sold.get("recurring") or sold  # a plan says itself what a price says under `recurring`
    quantity = item.get("quantity")
    return ItemState(
        id=_text(item["id"]),
        price=_text(sold["id"]),
        quantity=1 if quantity is None else int(quantity),  # a metered item has none
        metered=terms.get("usage_type") == "metered",
        meter=terms.get("meter"),
        period_start=_moment(item.get("current_period_start") or subscription.get("current_period_start")),
        period_end=_moment(item.get("current_period_end") or subscription.get("current_period_end")),
    )


def _pause(pause: Mapping[str, Any] | None) -> PauseCollection | None:
    if not pause:
        return None
    return PauseCollection(_text(pause["behavior"]), resumes_at=_moment(pause.get("resumes_at")))


def _metadata(data: Mapping[str, Any]) -> Mapping[str, str]:
    return dict(data.get("metadata") or {})


def _id(reference: Any) -> str:
    """Read a reference to another object: its id, or all of it where it was expanded."""
    return _text(reference["id"] if isinstance(reference, Mapping) else reference)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"expected a text, found {type(value).__name__}")
    return value


def _words(value: Any) -> str | None:
    """Read words for people, of which a part does as well as all."""
    return value.replace("\0", "")[:255] or None if isinstance(value, str) else None


def _moment(value: Any) -> int | None:
    return None if value is None else int(value)
